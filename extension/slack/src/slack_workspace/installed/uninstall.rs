//! Uninstalling a workspace: nothing usable is left of it.

use crate::error::{OrRaise, Result, SlackError, required};
use crate::slack_workspace::host::{Tables, lock};
use crate::slack_workspace::identical::{Writing, installation};
use crate::subscription;
use lockstep_server::host::{NOW, Relation, qualified};
use lockstep_server::{Statement, View, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Removes all rows of a workspace and its tokens, unless it has been installed again since.
#[pg_extern(sql = r#"
create function lockstep.uninstall_slack_workspace(team_id text, before timestamptz default null, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.uninstall_slack_workspace(text, timestamptz, text) is
  'removes the rows, tokens and subscriptions of a Slack workspace and sets its integrations inactive; returns how many rows, or null if it was installed after that time';
revoke execute on function lockstep.uninstall_slack_workspace(text, timestamptz, text) from public;
grant execute on function lockstep.uninstall_slack_workspace(text, timestamptz, text) to lockstep_admin;
"#)]
fn uninstall_slack_workspace(
    team_id: Option<&str>,
    before: Option<TimestampWithTimeZone>,
    schema: Option<&str>,
) -> Option<i64> {
    let team = required(team_id, "team_id");
    let schema = required(schema, "schema");
    uninstall(team, before, schema).or_raise()
}

pub(crate) fn uninstall(
    team: &str,
    before: Option<TimestampWithTimeZone>,
    schema: &str,
) -> Result<Option<i64>> {
    if team.is_empty() {
        return Err(SlackError::Empty { name: "team_id" }.into());
    }
    let tables = Tables::attached(schema)?;
    lock_integrations(&tables, team);
    lock::teams(tables.slack.oid, [team]);
    if let Some(before) = before
        && installation::is_installed_after(schema, team, before)?
    {
        return Ok(None);
    }
    let removed = remove_rows(&tables, team);
    installation::remove(schema, team)?;
    // Whoever installs it again does not get what others have asked for.
    subscription::remove_of_team(schema, team)?;
    Ok(Some(removed as i64))
}

/// The accounts that are linked to users of a workspace are not, once the app is gone from it: whoever connects it again links them
/// again.
pub(crate) fn unlink_accounts(team: &str, schema: &str) -> Result<()> {
    let tables = Tables::attached(schema)?;
    let links = Relation::find_table(schema, "chat_names")?;
    let links = links.filter(|links| {
        links.owner == tables.slack.owner && links.find_column("team_id").is_some()
    });
    if let Some(links) = links {
        let links = links.qualified_name();
        let delete = Statement::new(
            &qualified(&format!("delete from {links} c where c.team_id == $1")),
            &[pg_sys::TEXTOID],
        );
        tables.as_owner(|| delete.run(&[datum(team)]));
    }
    Ok(())
}

/// Locked before the team, because deleting an integration locks it before its Slack row.
fn lock_integrations(tables: &Tables, team: &str) {
    let lock = Statement::new(
        &qualified(&format!(
            "select 1 from {} i where i.id == any (array(select s.integration_id from {} s where s.team_id == $1))
              order by i.id for no key update",
            tables.integrations.qualified_name(),
            tables.slack.qualified_name(),
        )),
        &[pg_sys::TEXTOID],
    );
    tables.as_owner(|| lock.run(&[datum(team)]));
}

fn remove_rows(tables: &Tables, team: &str) -> u64 {
    let s = tables.slack.qualified_name();
    // In id order, like everything that writes a team's rows.
    let delete = Statement::new(
        &qualified(&format!(
            "with it as materialized (select s.id from {s} s where s.team_id == $1 order by s.id for update)
             delete from {s} s using it where s.id == it.id returning s.integration_id::pg_catalog.int8"
        )),
        &[pg_sys::TEXTOID],
    );
    let switch_off = Statement::new(
        &qualified(&format!(
            "update {} i set active = false, updated_at = {NOW}
              where i.id == any ($1) and i.active and not exists (select from {s} s where s.integration_id == i.id)",
            tables.integrations.qualified_name()
        )),
        &[pg_sys::INT8ARRAYOID],
    );
    let mut integrations = Vec::new();
    let mut removed = 0;
    tables.as_owner(|| {
        let _writing = Writing::begin(tables.slack.oid, vec![team.to_owned()]);
        delete.rows(View::Newest, &[datum(team)], |row| {
            removed += 1;
            integrations.extend(row.get::<i64>(1));
        });
        switch_off.run(&[keys_argument(&integrations)]);
    });
    removed
}
