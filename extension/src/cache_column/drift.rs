//! Cache columns that are wrong: which rows, and their repair.

use super::definition::{Definition, Resolved};
use super::flush::repair;
use super::install::check_is_owner;
use super::keeper::keeper;
use crate::error::{Error, OrRaise, Result};
use crate::host::Relation;
use crate::statement::{Statement, as_owner, connected};
use pgrx::prelude::*;
use pgrx::{IntoDatum, pg_sys};

/// The query behind lockstep.cache_column_drift, which runs it with the caller's rights and spills to disk what does not
/// fit in memory.
#[pg_extern(sql = r#"
create function lockstep.cache_column_drift_query(target regclass, "column" text)
returns text strict stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cache_column_drift_query(regclass, text) is
  'the query that lockstep.cache_column_drift runs';
"#)]
fn cache_column_drift_query(target: pg_sys::Oid, column: &str) -> String {
    drift_sql(&resolved(target, column).or_raise())
}

/// Brings rows in lockstep that are not, at most `max_rows` of them; returns how many it wrote. Rows are locked in key order
/// until the end of the transaction, so on a large table call it with a limit, a transaction each.
#[pg_extern(sql = r#"
create function lockstep.repair_cache_column(target regclass, "column" text, max_rows bigint default null)
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.repair_cache_column(regclass, text, bigint) is
  'writes the right value to rows whose cache column is wrong, at most max_rows; returns how many';
"#)]
fn repair_cache_column(
    target: Option<pg_sys::Oid>,
    column: Option<&str>,
    max_rows: Option<i64>,
) -> Option<i64> {
    let resolved = resolved(target?, column?).or_raise();
    check_is_owner(&resolved.target).or_raise();
    let keys = drifted_keys(&resolved, max_rows.unwrap_or(i64::MAX));
    let keeper = keeper(resolved.definition.id).or_raise();
    Some(repair(keeper, keys) as i64)
}

fn resolved(target: pg_sys::Oid, column: &str) -> Result<Resolved> {
    let table = Relation::describe(target.to_u32())?;
    match Definition::of_column(target.to_u32(), column)? {
        Some(definition) => definition.resolve(),
        None => Err(Error::NotDefined {
            table: table.qualified_name(),
            column: column.to_owned(),
        }),
    }
}

/// Two halves, each a join that scales, instead of one lookup a row.
fn drift_sql(resolved: &Resolved) -> String {
    let target = resolved.target.qualified_name();
    let id = resolved.primary_key.quoted();
    let column = resolved.column.quoted();
    let exists = resolved.exists_sql();
    format!(
        "select t.{id}::pg_catalog.int8 as key, t.{column} as cached, false as actual
           from {target} t where t.{column} is not false and not {exists}
         union all
         select t.{id}::pg_catalog.int8, t.{column}, true
           from {target} t where t.{column} is not true and {exists}"
    )
}

fn drifted_keys(resolved: &Resolved, max_rows: i64) -> Vec<i64> {
    let text = format!(
        "select array(select d.key from ({}) d order by d.key limit $1)",
        drift_sql(resolved)
    );
    let query = Statement::new(&text, &[pg_sys::INT8OID]);
    let limit = max_rows.into_datum().unwrap_or(pg_sys::Datum::from(0));
    let owner = pg_sys::Oid::from(resolved.target.owner);
    let row = connected(|| as_owner(owner, || query.first_row::<Vec<i64>, 1>(&[limit])));
    let [keys] = row.unwrap_or_default();
    keys.unwrap_or_default()
}
