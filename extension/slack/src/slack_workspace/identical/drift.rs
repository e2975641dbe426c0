//! Rows that differ from their team's winning row, and their repair.

use super::compare::{Rows, compare};
use super::kept::best;
use super::scopes::{Instead, Known, Links};
use super::spread::spread;
use crate::error::{Error, HostError, OrRaise, Result, SlackError, required};
use crate::slack_workspace::host::{SHARED, Tables, lock};
use lockstep_server::host::{are_read_at_once, qualified};
use lockstep_server::{Statement, View, attempt, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;

type Drift = (String, i64, Vec<String>);

/// Finds rows that differ.
#[pg_extern(sql = r#"
create function lockstep.slack_workspace_drift(schema text default 'public')
returns table (team_id text, slack_integration_id bigint, differs text[])
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.slack_workspace_drift(text) is
  'rows of Slack integrations that differ from the one that would win in their team, and in which columns; scopes count as one';
revoke execute on function lockstep.slack_workspace_drift(text) from public;
grant execute on function lockstep.slack_workspace_drift(text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn slack_workspace_drift(
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(team_id, String),
        name!(slack_integration_id, i64),
        name!(differs, Vec<String>),
    ),
> {
    let schema = required(schema, "schema");
    let rows = Tables::attached(schema).map(|tables| drift(&tables, None));
    TableIterator::new(rows.or_raise())
}

/// How many rows differ; None if the schema is not attached.
pub(crate) fn rows_adrift(schema: &str) -> Result<Option<usize>> {
    match Tables::attached(schema) {
        Ok(tables) => Ok(Some(drift(&tables, None).len())),
        Err(error) if is_not_attached(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// How many rows differ today, in words for a dry run, unless counting takes long.
pub(crate) fn differing_today(tables: &Tables) -> String {
    let differing = match are_read_at_once([&tables.slack, &tables.links]) {
        true => attempt(AssertUnwindSafe(|| drift(tables, None).len())).ok(),
        false => None,
    };
    match differing {
        Some(0) => "; no row differs from the others of its team today".to_owned(),
        Some(1) => "; 1 row differs from the newest of its team today".to_owned(),
        Some(rows) => format!("; {rows} rows differ from the newest of their teams today"),
        None => "; lockstep.slack_workspace_drift lists the rows that differ once this is attached"
            .to_owned(),
    }
}

fn is_not_attached(error: &Error) -> bool {
    matches!(error.topic(), Some(SlackError::NotAttached { .. }))
        || matches!(
            error.topic(),
            Some(HostError::NoSuchColumn { .. } | HostError::HostTableMissing { .. })
        )
}

/// The rows that differ, of some teams or of all.
fn drift(tables: &Tables, teams: Option<Vec<String>>) -> Vec<Drift> {
    tables.as_owner(|| {
        let teams = teams.unwrap_or_else(|| all_teams(tables));
        let winners: Vec<i64> = best(tables, teams, &[]).into_values().collect();
        let (rows, scopes) = compare(tables, &winners, Rows::All, &Instead::new());
        let known = Known::look_up(tables, &scopes);
        let mut drift = Vec::new();
        for (row, it) in rows.iter().zip(&scopes) {
            let mut differs: Vec<String> = SHARED
                .iter()
                .enumerate()
                .filter(|(place, _)| row.differing & (1 << place) != 0)
                .map(|(_, column)| (*column).to_owned())
                .collect();
            if known.difference(it, &mut Links::default(), &mut Links::default()) {
                differs.push("scopes".to_owned());
            }
            if !differs.is_empty() {
                drift.push((row.team.to_string(), it.row, differs));
            }
        }
        drift.sort_unstable();
        drift
    })
}

fn all_teams(tables: &Tables) -> Vec<String> {
    let query = Statement::planned_anew(
        &format!(
            "select distinct s.team_id::pg_catalog.text from {} s",
            tables.slack.qualified_name()
        ),
        &[],
    );
    let mut teams = Vec::new();
    query.rows(View::Newest, &[], |row| teams.extend(row.get::<String>(1)));
    teams
}

/// Repairs the teams whose first row has an id from `first` to `last`. Whole teams, so that their rows are identical after each
/// step and each team belongs to exactly one range; returns how many rows differed.
#[pg_extern(sql = r#"
create function lockstep_internal.repair_slack_range(schema text, first bigint, last bigint)
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.repair_slack_range(text, bigint, bigint) is
  'one range of the backfill job slack_workspaces: makes the rows of teams identical that differ; returns how many did';
revoke execute on function lockstep_internal.repair_slack_range(text, bigint, bigint) from public;
"#)]
fn repair_slack_range(schema: Option<&str>, first: Option<i64>, last: Option<i64>) -> i64 {
    let schema = required(schema, "schema");
    let first = required(first, "first");
    let last = required(last, "last");
    repair_range(schema, first, last).or_raise() as i64
}

// The backfill engine has checked that the caller may run this.
fn repair_range(schema: &str, first: i64, last: i64) -> Result<usize> {
    let tables = Tables::attached(schema)?;
    let query = Statement::planned_anew(
        &qualified(&format!(
            "select distinct s.team_id::pg_catalog.text from {slack} s
              where s.id operator(pg_catalog.>=) $1 and s.id operator(pg_catalog.<=) $2
                and not exists (select from {slack} o where o.team_id == s.team_id and o.id operator(pg_catalog.<) $1)",
            slack = tables.slack.qualified_name()
        )),
        &[pg_sys::INT8OID, pg_sys::INT8OID],
    );
    let teams_of_range = || -> Vec<String> {
        let mut teams = BTreeSet::new();
        tables.as_owner(|| {
            query.rows(View::Newest, &[datum(first), datum(last)], |row| {
                teams.extend(row.get::<String>(1));
            });
        });
        teams.into_iter().collect()
    };
    // Without locks, because most teams have not drifted; the others are checked again under their lock.
    let drifted = drift(&tables, Some(teams_of_range()));
    let teams: BTreeSet<String> = drifted.into_iter().map(|(team, ..)| team).collect();
    if teams.is_empty() {
        return Ok(0);
    }
    lock::teams(tables.slack.oid, teams.iter().map(String::as_str));
    let teams: Vec<String> = teams.into_iter().collect();
    let drifted = drift(&tables, Some(teams.clone()));
    tables.as_owner(|| {
        let winners = best(&tables, teams, &[]);
        spread(&tables, &winners);
    });
    Ok(drifted.len())
}
