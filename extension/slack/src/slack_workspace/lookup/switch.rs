//! Switching an integration on or off for a Slack user, together with those that inherit from it.

use super::heir::write_with_heirs;
use crate::error::{OrRaise, Result, SlackError, required};
use crate::slack_workspace::host::{Tables, workspace};
use crate::slack_workspace::manager::{self, Person, Right};
use lockstep_server::host::{NOW, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Switches one integration of a workspace for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.set_slack_integration_active(team_id text, enterprise_id text, slack_integration_id bigint, user_id text, active boolean,
  is_manager boolean default false, schema text default 'public')
returns table (alias text, changed boolean)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.set_slack_integration_active(text, text, bigint, text, boolean, boolean, text) is
  'switches an integration of a Slack workspace and those that inherit from it on or off; the user must manage it';
revoke execute on function lockstep_api.set_slack_integration_active(text, text, bigint, text, boolean, boolean, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn set_slack_integration_active(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    active: Option<bool>,
    is_manager: Option<bool>,
    schema: Option<&str>,
) -> TableIterator<'static, (name!(alias, String), name!(changed, bool))> {
    let row = required(slack_integration_id, "slack_integration_id");
    let user = required(user_id, "user_id");
    let active = required(active, "active");
    let is_manager = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let set = || -> Result<(String, bool)> {
        let tables = Tables::attached(schema)?;
        let person = (user, is_manager);
        let (found, _) = allowed(&tables, schema, (team_id, enterprise_id), row, person)?;
        let switched = write_with_heirs(
            &tables,
            found.integration,
            &format!("active = {active}, updated_at = {NOW}"),
            &format!("i.active is not {active}"),
        );
        Ok((found.alias, switched > 0))
    };
    TableIterator::once(set().or_raise())
}

/// An integration of a workspace.
pub(crate) struct Found {
    pub(crate) alias: String,
    pub(crate) integration: i64,
}

/// The row, if the Slack user may change its integration (also by being named in the configuration), and by which right.
pub(crate) fn allowed(
    tables: &Tables,
    schema: &str,
    (workspace_of_user, enterprise): (Option<&str>, Option<&str>),
    row: i64,
    (user, is_named): (&str, bool),
) -> Result<(Found, Right)> {
    let team = workspace(tables, workspace_of_user, enterprise)?;
    let found = of_workspace(tables, &team, row)?;
    let person = Person {
        workspace: workspace_of_user,
        user,
        is_named,
    };
    let rights = manager::rights(tables, schema, &team, &[found.integration], person)?;
    match rights.get(&found.integration) {
        Some(right) => Ok((found, *right)),
        None => Err(SlackError::NotManager { alias: found.alias }.into()),
    }
}

/// The row with that id, if it belongs to the workspace.
pub(crate) fn of_workspace(tables: &Tables, team: &str, row: i64) -> Result<Found> {
    let query = Statement::new(
        &qualified(&format!(
            "select s.alias::pg_catalog.text, s.integration_id::pg_catalog.int8 from {} s where s.team_id == $1 and s.id == $2",
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID, pg_sys::INT8OID],
    );
    let mut found = None;
    tables.as_owner(|| {
        query.rows(View::Newest, &[datum(team), datum(row)], |answer| {
            let read = |alias| {
                Some(Found {
                    alias,
                    integration: answer.get(2)?,
                })
            };
            found = answer.get(1).and_then(read);
        });
    });
    found.ok_or_else(|| {
        SlackError::NoSuchRow {
            id: row,
            team: team.to_owned(),
        }
        .into()
    })
}
