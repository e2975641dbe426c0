//! Which rows a Slack request is about. It names a workspace and, if that belongs to one, the enterprise; an installation for the
//! whole enterprise is stored under the enterprise's id.

use super::known::Tables;
use crate::error::{Result, SlackError};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum};
use pgrx::pg_sys;

kept! {
    static IS_INSTALLED: OwnStatement = OwnStatement::new(
        "select from lockstep_internal.slack_installation where schema = $1 and team_id = $2",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID],
    );
}

/// The id under which rows and installation are stored: the workspace's, if anything is stored for it, otherwise the
/// enterprise's.
pub(crate) fn workspace(
    tables: &Tables,
    team: Option<&str>,
    enterprise: Option<&str>,
) -> Result<String> {
    let given = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
    match (given(team), given(enterprise)) {
        (Some(team), Some(enterprise)) => Ok(match is_known(tables, &team)? {
            true => team,
            false => enterprise,
        }),
        (Some(one), None) | (None, Some(one)) => Ok(one),
        (None, None) => Err(SlackError::NoWorkspace.into()),
    }
}

/// Whether the app is or was installed in it: there is an installation or a row.
pub(crate) fn is_known(tables: &Tables, team: &str) -> Result<bool> {
    let arguments = [datum(tables.schema.as_str()), datum(team)];
    if IS_INSTALLED.with(|statement| statement.run(&arguments))? > 0 {
        return Ok(true);
    }
    let has_rows = &tables.statements.has_rows;
    let found = tables.as_owner(|| has_rows.run_seeing(View::Newest, &[datum(team)]));
    Ok(found > 0)
}

pub(crate) fn check_max_rows(max_rows: i32) -> Result<()> {
    match max_rows {
        0.. => Ok(()),
        _ => Err(SlackError::MaxRows { rows: max_rows }.into()),
    }
}
