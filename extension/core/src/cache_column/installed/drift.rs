//! Wrong cache column values: finding and repairing them.

use super::builtin::builtin_of;
use super::state::{State, examine};
use crate::cache_column::defined::{Definition, Flaw, Resolved};
use crate::cache_column::kept::{Walk, repair_all};
use crate::error::{CacheColumnError, Error, OrRaise, Result, required};
use lockstep_server::host::{Relation, are_read_at_once, change, check_is_owner, check_may};
use lockstep_server::{attempt, has_rights_of, with_new_snapshot};
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::quote_literal;
use std::panic::AssertUnwindSafe;

/// Checks permissions, and prevents TRUNCATE of the tables until the transaction ends.
#[pg_extern(sql = r#"
create function lockstep_internal.begin_cache_column_drift(target regclass, "column" text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.begin_cache_column_drift(regclass, text) is
  'part of lockstep.cache_column_drift: checks the caller''s rights and waits for a concurrent truncate';
"#)]
fn begin_cache_column_drift(target: Option<pg_sys::Oid>, column: Option<&str>) {
    let target = required(target, "target");
    let column = required(column, "column");
    readable(target, column)
        .and_then(|resolved| hold_tables(&resolved))
        .or_raise();
}

/// The rows that are wrong, read in parts as they are fetched.
#[pg_extern(sql = r#"
create function lockstep_internal.cache_column_drift_rows(target regclass, "column" text)
returns table (key bigint, cached boolean, actual boolean)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.cache_column_drift_rows(regclass, text) is
  'part of lockstep.cache_column_drift: its rows';
"#)]
fn cache_column_drift_rows(
    target: Option<pg_sys::Oid>,
    column: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(key, i64),
        name!(cached, Option<bool>),
        name!(actual, bool),
    ),
> {
    let target = required(target, "target");
    let column = required(column, "column");
    let resolved = readable(target, column).or_raise();
    let wrong = Walk::all(&resolved).wrong();
    TableIterator::new(wrong.map(|wrong| (wrong.key, wrong.cached, wrong.actual)))
}

/// Corrects at most `max_rows` wrong rows; returns how many it wrote. Rows are locked in key order until the end of the
/// transaction, so on a large table call it with a limit, once per transaction.
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
) -> i64 {
    let target = required(target, "target");
    let column = required(column, "column");
    let max_rows = match max_rows {
        None => usize::MAX,
        Some(rows) => usize::try_from(rows)
            .map_err(|_| CacheColumnError::NegativeLimit { rows }.into())
            .or_raise(),
    };
    let table = Relation::describe(target.to_u32()).or_raise();
    check_is_owner(&table).or_raise();
    let definition = Definition::of_column(table.oid, column)
        .and_then(|found| found.ok_or_else(|| not_defined(&table, column)))
        .or_raise();
    check_shards_have_triggers(&definition, &table).or_raise();
    repair_all(definition.id, max_rows).or_raise() as i64
}

/// Without them nobody looks whether a value that is written is still right.
fn check_shards_have_triggers(definition: &Definition, table: &Relation) -> Result<()> {
    if table.is_distributed()
        && let State::Mendable(work) = examine(definition)?
        && work
            .flawed
            .iter()
            .any(|(_, flaw)| *flaw == Flaw::MissingOnShard)
    {
        let table = table.qualified_name();
        return Err(CacheColumnError::ShardsWithoutTriggers { table }.into());
    }
    Ok(())
}

type Standing = (String, String, Option<i64>);

/// The state of all cache columns.
#[pg_extern(sql = r#"
create function lockstep_internal.cache_column_standings(most bigint default null)
returns table (what text, state text, wrong bigint)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.cache_column_standings(bigint) is
  'table and column, state, and how many rows are wrong, counted up to most, null if that is not known; reads the tables with the rights of their owners: for extensions that build on lockstep';
revoke execute on function lockstep_internal.cache_column_standings(bigint) from public;
"#)]
fn cache_column_standings(
    most: Option<i64>,
) -> TableIterator<
    'static,
    (
        name!(what, String),
        name!(state, String),
        name!(wrong, Option<i64>),
    ),
> {
    let most = most.and_then(|most| usize::try_from(most).ok());
    TableIterator::new(standings(most.unwrap_or(usize::MAX)).or_raise())
}

fn standings(most: usize) -> Result<Vec<Standing>> {
    let mut standings = Vec::new();
    for definition in Definition::all()? {
        let table = definition.target_name.join(".");
        let what = format!("{table}.{}", definition.target_column);
        let state = examine(&definition)?.words();
        let wrong = match definition.resolve() {
            Ok(resolved) => {
                // A table's owner can make this fail, but must not keep others from seeing the state of their own columns.
                let count = || count_drift(&resolved, most).or_raise();
                match attempt(AssertUnwindSafe(count)) {
                    Ok(wrong) => Some(wrong as i64),
                    Err(failure) => {
                        warning!("drift of {what} cannot be counted: {}", failure.message);
                        None
                    }
                }
            }
            Err(_) => None,
        };
        standings.push((what, state, wrong));
    }
    Ok(standings)
}

fn count_drift(resolved: &Resolved, limit: usize) -> Result<usize> {
    hold_tables(resolved)?;
    Ok(with_new_snapshot(|| {
        Walk::all(resolved).wrong().take(limit).count()
    }))
}

/// How many rows are wrong today, in words for a dry run; the call that counts them, if counting takes long.
pub(super) fn wrong_today(definition: &Definition) -> Result<String> {
    let Ok(resolved) = definition.clone().resolve() else {
        return Ok(String::new());
    };
    let wrong = match are_read_at_once([&resolved.target, &resolved.source]) {
        true => attempt(AssertUnwindSafe(|| {
            count_drift(&resolved, usize::MAX).or_raise()
        }))
        .ok(),
        false => None,
    };
    Ok(match wrong {
        Some(0) => "; no row is wrong today".to_owned(),
        Some(1) => "; 1 row is wrong today".to_owned(),
        Some(rows) => format!("; {rows} rows are wrong today"),
        None => format!(
            "; to count the rows that are wrong today: select count(*) from lockstep.cache_column_drift({}, {})",
            quote_literal(resolved.target.qualified_name()),
            quote_literal(&definition.target_column)
        ),
    })
}

fn hold_tables(resolved: &Resolved) -> Result<()> {
    for table in [&resolved.target, &resolved.source] {
        let name = table.qualified_name();
        change(
            &table.rights(),
            &format!("lock table {name} in access share mode"),
        )?;
    }
    Ok(())
}

/// The tables that have cache columns.
pub(crate) fn targets() -> Result<Vec<u32>> {
    let all = Definition::all()?;
    let mut targets: Vec<u32> = all.iter().map(|definition| definition.target).collect();
    targets.sort_unstable();
    targets.dedup();
    Ok(targets)
}

/// The definition of a column, or the one that attach would add; the caller must be allowed to read both tables.
fn readable(target: pg_sys::Oid, column: &str) -> Result<Resolved> {
    let table = Relation::describe(target.to_u32())?;
    let found = match Definition::of_column(table.oid, column)? {
        None => builtin_of(&table, column)?,
        found => found,
    };
    let definition = found.ok_or_else(|| not_defined(&table, column))?;
    let resolved = definition.resolve()?;
    let tables = [&resolved.target, &resolved.source].into_iter();
    // Owners can lift the row security on their own tables anyway.
    let of_others = tables.filter(|table| !has_rights_of(pg_sys::Oid::from(table.owner)));
    check_may(&of_others.collect::<Vec<_>>(), &["select"])?;
    Ok(resolved)
}

fn not_defined(table: &Relation, column: &str) -> Error {
    CacheColumnError::NotDefined {
        table: table.qualified_name(),
        column: column.to_owned(),
    }
    .into()
}
