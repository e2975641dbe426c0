//! GitLab's propagation of a Slack app integration from a group to its projects, in GitLab's order, with and without lockstep.

use std::time::Instant;

use anyhow::Result;
use lockstep_tests::host::{self, Layout};

use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

const TEMPLATE: &str = "slack_propagation";

/// Projects 1 to `ROWS`, and group 1 with an integration, installed in a workspace with three scopes.
const FILL: &str = "
insert into projects (id, path, namespace_id, project_namespace_id, organization_id) select n, 'project-' || n, 1, n, 1 from generate_series(1, ROWS) n;
insert into integrations (id, group_id, type_new, category, active) values (1, 1, 'Integrations::GitlabSlackApplication', 'chat', true);
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, group_id)
  values (1, 'T0', 'Team', 'group-1', 'U0123456789', 'B0123456789', sha256('a'), '0123456789ab', now(), now(), 1, 1);
insert into slack_api_scopes (id, name, organization_id) values (1, 'commands', 1), (2, 'chat:write', 1), (3, 'chat:write.public', 1);
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, group_id) select 1, s, 1 from generate_series(1, 3) s;
select setval('integrations_id_seq', 10), setval('slack_integrations_id_seq', 10);
create extension lockstep_slack cascade;
analyze";

/// A batch that gets its integrations: rows first, then their scopes, as the group's row has them by then.
const CREATE: &str = "
begin;
insert into integrations (project_id, type_new, category, active, inherit_from_id, created_at, updated_at)
  select n, 'Integrations::GitlabSlackApplication', 'chat', true, 1, now(), now() from generate_series(FIRST, LAST) n on conflict do nothing;
insert into slack_integrations (team_id, team_name, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, integration_id,
                                alias, project_id, created_at, updated_at)
  select g.team_id, g.team_name, g.user_id, g.bot_user_id, g.encrypted_bot_access_token, g.encrypted_bot_access_token_iv, i.id,
         'group-1/project-' || i.project_id, i.project_id, now(), now()
    from slack_integrations g, integrations i where g.id = 1 and i.project_id between FIRST and LAST on conflict do nothing;
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
  select s.id, l.slack_api_scope_id, s.project_id from slack_integrations_scopes l, slack_integrations s
   where l.slack_integration_id = 1 and s.project_id between FIRST and LAST on conflict do nothing;
commit";

/// A batch that is updated from the group's.
const UPDATE: &str = "
begin;
update integrations set active = true, updated_at = now() where project_id between FIRST and LAST;
update slack_integrations s
   set team_id = g.team_id, team_name = g.team_name, user_id = g.user_id, bot_user_id = g.bot_user_id,
       encrypted_bot_access_token = g.encrypted_bot_access_token, encrypted_bot_access_token_iv = g.encrypted_bot_access_token_iv
  from slack_integrations g where g.id = 1 and s.project_id between FIRST and LAST;
delete from slack_integrations_scopes where slack_integration_id in (select id from slack_integrations where project_id between FIRST and LAST);
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
  select s.id, l.slack_api_scope_id, s.project_id from slack_integrations_scopes l, slack_integrations s
   where l.slack_integration_id = 1 and s.project_id between FIRST and LAST on conflict do nothing;
commit";

const BATCH: u32 = 100;

/// Measures teams of three sizes.
pub(crate) fn run(
    server: &mut Server,
    size: Size,
    table: &mut Table,
    figures: &mut Vec<Figure>,
) -> Result<()> {
    let mut flat = Vec::new();
    for share in [1_000, 100, 10] {
        let rows = (size.rows / share).max(BATCH);
        server.create_template(TEMPLATE, |client| {
            host::create(client, Layout::Wide)?;
            client.batch_execute(&FILL.replace("ROWS", &rows.to_string()))?;
            Ok(())
        })?;
        let mut rounds = Vec::new();
        for _ in 0..size.rounds {
            rounds.push([measure(server, rows, false)?, measure(server, rows, true)?]);
        }
        server.drop_database(TEMPLATE)?;
        for (place, work) in ["create", "update"].into_iter().enumerate() {
            let [without, with] =
                [0, 1].map(|attached| median(rounds.iter().map(|round| round[attached][place])));
            let name = format!("propagate, {work}, {rows}");
            for (kind, each) in [("without", without), ("with", with)] {
                let elapsed = each * f64::from(rows) / 1_000.0;
                table.push(vec![
                    format!("{name}, {kind}"),
                    format!("{elapsed:.0}"),
                    format!("{each:.2}"),
                ]);
            }
            figures.push(Figure::with_reach(
                format!("slack_workspace/propagate_{work}/{rows}/ratio"),
                with / without,
                "x",
                Reach::AtMost(1.5),
            ));
            flat.push(with / without);
        }
    }
    for (place, work) in ["create", "update"].into_iter().enumerate() {
        figures.push(Figure::with_reach(
            format!("slack_workspace/propagate_{work}/flat"),
            flat[place + 4] / flat[place],
            "x",
            Reach::AtMost(1.3),
        ));
    }
    Ok(())
}

fn batch(work: &str, first: u32, last: u32) -> String {
    work.replace("FIRST", &first.to_string())
        .replace("LAST", &last.to_string())
}

/// Microseconds per project, to create and to update.
fn measure(server: &mut Server, rows: u32, is_attached: bool) -> Result<[f64; 2]> {
    server.with_copy(TEMPLATE, |copy| {
        if is_attached {
            copy.client.batch_execute(
                "select * from lockstep.attach(); select * from lockstep.attach_slack()",
            )?;
        }
        copy.settle()?;
        // The statistics still describe empty tables.
        copy.client.batch_execute("set enable_seqscan = off")?;
        // What a session learns at its first writes is excluded, as in cache_column/session/first_write.
        for work in [CREATE, UPDATE] {
            let batch = batch(work, 1, BATCH).replace("commit", "");
            copy.client.batch_execute(&batch)?;
            copy.client.batch_execute("rollback")?;
        }
        let mut each = [0.0; 2];
        for (each, work) in each.iter_mut().zip([CREATE, UPDATE]) {
            let start = Instant::now();
            for first in (1..=rows).step_by(BATCH as usize) {
                let last = (first + BATCH - 1).min(rows);
                copy.client.batch_execute(&batch(work, first, last))?;
            }
            *each = start.elapsed().as_secs_f64() * 1e6 / f64::from(rows);
        }
        Ok(each)
    })
}
