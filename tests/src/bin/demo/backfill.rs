//! Background workers fill the service accounts of existing workflows while the sidecar shows their progress; then an independent
//! query counts the result.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lockstep_tests::{host, target};
use postgres::Client;

use crate::place::Place;
use crate::text::{duration, number, print_table};

/// A workflow's account, according to GitLab's own statement.
const RECOUNT: &str = "
select case when account is not null then 'resolved' when item is null then 'no_item' when root is null then 'no_root_group'
            when consumers = 0 then 'no_consumer' else 'consumer_without_account' end,
       count(*), count(*) filter (where stored is not distinct from account)
from (select w.service_account_id as stored, i.item, r.root, c.consumers, c.account
        from duo_workflows_workflows w
        left join ai_catalog_item_versions v on v.id = w.ai_catalog_item_version_id
        left join ai_catalog_items f on f.foundational_flow_reference = w.workflow_definition
        left join projects p on p.id = w.project_id
        left join namespaces n on n.id = coalesce(p.namespace_id, w.namespace_id)
        cross join lateral (select coalesce(v.ai_catalog_item_id, f.id)) i (item)
        cross join lateral (select n.traversal_ids[1]) r (root)
        cross join lateral (select count(*), min(service_account_id) from ai_catalog_item_consumers
                             where ai_catalog_item_id = i.item and group_id = r.root) c (consumers, account)) w
group by 1 order by 1";

/// Returns how many workflows have a wrong account.
pub(crate) fn run(place: &Place, client: &mut Client) -> Result<i64> {
    println!();
    println!("6. Backfill: the service accounts of old workflows");
    let start = Instant::now();
    // They existed before lockstep: new ones would be filled on insert.
    client.batch_execute("select lockstep.detach_service_accounts()")?;
    host::run(client, host::DEMO_WORKFLOWS)?;
    client.batch_execute("select lockstep.attach()")?;
    let rows: i64 = client
        .query_one("select count(*) from duo_workflows_workflows", &[])?
        .get(0);
    println!("{} workflows: {}", number(rows), duration(start.elapsed()));
    let command = "lockstep-sidecar backfill service_accounts --workers 2";
    println!("    {command}");
    let status = Command::new(target().join("debug/lockstep-sidecar"))
        .args(command.split(' ').skip(1))
        // Not as an argument, where every process on the machine could read the password.
        .env("DATABASE_URL", place.address())
        .status()
        .context("cannot run lockstep-sidecar")?;
    ensure!(status.success(), "the backfill ended with {status}");
    let mut table = vec![
        ["recounted", "workflows", "right"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let mut wrong = 0;
    for row in client.query(RECOUNT, &[])? {
        let (ended, workflows, right): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
        wrong += workflows - right;
        table.push(vec![ended, number(workflows), number(right)]);
    }
    print_table(&table);
    Ok(wrong)
}
