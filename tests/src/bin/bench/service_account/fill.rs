//! Filling old rows, in sub-batches of a transaction each: the host's correlated update, the update of the rows that have an
//! account to be found when that account is known already, and lockstep.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::NAME;
use super::data::{TEMPLATE, WORKFLOWS_PER_ROW};
use crate::figure::Figure;
use crate::figure::Reach::{AtLeast, AtMost};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

const CORRELATED: &str = "
update duo_workflows_workflows w set service_account_id = (
  select c.service_account_id from ai_catalog_item_consumers c
   where c.service_account_id is not null
     and c.ai_catalog_item_id = coalesce(
           (select v.ai_catalog_item_id from ai_catalog_item_versions v where v.id = w.ai_catalog_item_version_id),
           (select i.id from ai_catalog_items i where i.foundational_flow_reference = w.workflow_definition limit 1))
     and c.group_id = (
           select n.traversal_ids[1] from namespaces n
            where n.id = case when w.project_id is not null then (select p.namespace_id from projects p where p.id = w.project_id)
                              else w.namespace_id end)
   limit 1)
 where w.id between $1 and $2 and w.service_account_id is null";

const BARE: &str = "update duo_workflows_workflows w set service_account_id = w.user_id where w.id between $1 and $2 and w.status = 1";

const LOCKSTEP: &str = "select lockstep.fill_service_accounts($1, $2)";

const VARIANTS: [(&str, &str); 3] = [
    ("correlated", CORRELATED),
    ("bare", BARE),
    ("lockstep", LOCKSTEP),
];

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    for sub_batch in [100, 1_000] {
        let name = format!("{NAME}/fill_{sub_batch}");
        if !selection.includes(&name) {
            continue;
        }
        let rows = i64::from(size.rows.div_ceil(1_000) * 1_000) * WORKFLOWS_PER_ROW;
        let mut rounds: Vec<[(f64, f64); 3]> = Vec::new();
        for _ in 0..size.rounds {
            let mut round = [(0.0, 0.0); 3];
            for ((variant, statement), sample) in VARIANTS.into_iter().zip(&mut round) {
                *sample = measure(server, statement, rows, sub_batch)?;
                eprintln!("bench: {name} {variant}: {:.0} ms", sample.0);
            }
            rounds.push(round);
        }
        for (place, (variant, _)) in VARIANTS.iter().enumerate() {
            let elapsed = median(rounds.iter().map(|round| round[place].0));
            let wal = median(rounds.iter().map(|round| round[place].1));
            table.push(vec![
                format!("fill, sub-batches of {sub_batch}"),
                (*variant).to_owned(),
                format!("{elapsed:.0}"),
                format!("{:.2}", elapsed * 1_000.0 / rows as f64),
                format!("{:.0}", wal / rows as f64),
            ]);
        }
        let faster = median(
            rounds
                .iter()
                .map(|[correlated, _, lockstep]| correlated.0 / lockstep.0),
        );
        let slower = median(rounds.iter().map(|[_, bare, lockstep]| lockstep.0 / bare.0));
        figures.push(Figure::with_reach(
            format!("{name}/rows_per_second_of_correlated"),
            faster,
            "ratio",
            AtLeast(3.5),
        ));
        figures.push(Figure::with_reach(
            format!("{name}/time_of_bare_update"),
            slower,
            "ratio",
            AtMost(2.2),
        ));
    }
    Ok(())
}

/// Milliseconds and bytes of WAL that it takes to go over all rows.
fn measure(server: &mut Server, statement: &str, rows: i64, sub_batch: i64) -> Result<(f64, f64)> {
    server.with_copy(TEMPLATE, |copy| {
        copy.settle()?;
        let before = copy.wal_bytes()?;
        let prepared = copy.client.prepare(statement)?;
        let start = Instant::now();
        for first in (1..=rows).step_by(usize::try_from(sub_batch)?) {
            copy.client.execute(&prepared, &[&first, &(first + sub_batch - 1)])?;
        }
        let milliseconds = start.elapsed().as_secs_f64() * 1_000.0;
        let wal = copy.wal_bytes()? - before;
        let wrong = "select count(*) from duo_workflows_workflows
                     where service_account_id is distinct from case when status = 1 then user_id end";
        let wrong: i64 = copy.client.query_one(wrong, &[])?.get(0);
        ensure!(wrong == 0, "{wrong} rows are wrong");
        Ok((milliseconds, wal))
    })
}
