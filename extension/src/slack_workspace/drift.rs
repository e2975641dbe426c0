//! Rows that differ from the row that would win in their team, and their repair.

use super::flush::best;
use super::host_text::{differ, qualified};
use super::lock;
use super::spread::spread;
use super::statements::{SHARED, order_of_rows, organization_of_row};
use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use crate::host::check_is_owner;
use crate::statement::{Statement, View, datum, nullable};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeSet;

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

/// The rows that differ, of some teams or of all.
fn drift(tables: &Tables, teams: Option<Vec<String>>) -> Vec<Drift> {
    let query = Statement::planned_anew(&qualified(&query(tables)), &[pg_sys::TEXTARRAYOID]);
    let mut rows = Vec::new();
    tables.on_host(|| {
        query.rows_with_nulls(View::Newest, &[nullable(teams)], |row| {
            if let (Some(team), Some(id), Some(columns)) = (row.get(1), row.get(2), row.get(3)) {
                rows.push((team, id, columns));
            }
        });
    });
    rows
}

fn query(tables: &Tables) -> String {
    let s = tables.slack.qualified_name();
    let l = tables.links.qualified_name();
    let c = tables.scopes.qualified_name();
    let has_organization = tables.scopes_have_organization();
    let shared = |of: &str| SHARED.map(|column| format!("{of}.{column}")).join(", ");
    let columns = SHARED.map(|column| {
        format!(
            "case when {} then '{column}'::pg_catalog.text end",
            differ(&format!("s.{column}"), &format!("w.{column}"))
        )
    });
    let of_winner = match has_organization {
        true => format!(
            "(select pg_catalog.min(c.organization_id) from {l} l join {c} c on c.id == l.slack_api_scope_id
               where l.slack_integration_id == b.id) as organization_id,"
        ),
        false => String::new(),
    };
    let (organization, same) = match has_organization {
        true => (
            format!(
                "coalesce({}, w.organization_id) as organization_id",
                organization_of_row(tables)
            ),
            "and c.organization_id == o.organization_id",
        ),
        false => ("1".to_owned(), ""),
    };
    format!(
        "with b as materialized (
           select distinct on (s.team_id) s.id, s.team_id, {shared} from {s} s where $1 is null or s.team_id == any ($1)
            order by s.team_id, {order}),
         w as materialized (
           select b.*, {of_winner}
                  array(select c.name from {l} l join {c} c on c.id == l.slack_api_scope_id where l.slack_integration_id == b.id) as names
             from b),
         d as (
           select s.team_id::pg_catalog.text as team_id, s.id::pg_catalog.int8 as id,
                  pg_catalog.array_remove(array[{columns},
                    case when exists (select from {l} l where l.slack_integration_id == s.id
                                         and not exists (select from {c} c where c.id == l.slack_api_scope_id and c.name == any (w.names) {same}))
                           or exists (select from pg_catalog.unnest(w.names) x (name)
                                       where not exists (select from {l} l join {c} c on c.id == l.slack_api_scope_id
                                                          where l.slack_integration_id == s.id and c.name == x.name {same}))
                         then 'scopes'::pg_catalog.text end], null) as differs
             from w join {s} s on s.team_id == w.team_id
            cross join lateral (select {organization}) o
            where s.id <> w.id)
         select d.team_id, d.id, d.differs from d where pg_catalog.cardinality(d.differs) <> 0
          order by d.team_id collate \"C\", d.id",
        shared = shared("s"),
        order = order_of_rows(tables),
        columns = columns.join(", "),
    )
}

/// Repairs the teams of the rows with ids from `first` to `last`, whole teams, so that their rows are identical after each step;
/// answers how many rows differed. The caller must be the owner of the table.
pub(crate) fn repair_range(schema: &str, first: i64, last: i64) -> Result<usize> {
    let tables = Tables::attached(schema)?;
    check_is_owner(&tables.slack)?;
    let query = Statement::planned_anew(
        &qualified(&format!(
            "select distinct s.team_id::pg_catalog.text from {} s
              where s.id operator(pg_catalog.>=) $1 and s.id operator(pg_catalog.<=) $2",
            tables.slack.qualified_name()
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
    // Without locks, as most teams have not drifted; those that have are looked at again under theirs.
    let drifted = drift(&tables, Some(teams_of_range()));
    let teams: BTreeSet<String> = drifted.into_iter().map(|(team, ..)| team).collect();
    if teams.is_empty() {
        return Ok(0);
    }
    lock::teams(tables.slack.oid, teams.iter().map(String::as_str));
    let teams: Vec<String> = teams.into_iter().collect();
    let drifted = drift(&tables, Some(teams.clone()));
    tables.as_owner(|| {
        let winners = best(&tables, teams);
        spread(&tables, &winners);
    });
    Ok(drifted.len())
}
