//! Cache columns that are wrong: which rows, and their repair.

use super::definition::{Definition, Resolved};
use super::flush::repair;
use super::keeper::{Keeper, keeper};
use crate::error::{Error, OrRaise, Result, required};
use crate::host::{Known, Relation, check_is_owner};
use crate::server::{Statement, View, as_owner, connected, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

/// The query behind lockstep.cache_column_drift, which runs it with the caller's rights and spills to disk what does not
/// fit in memory.
#[pg_extern(sql = r#"
create function lockstep.cache_column_drift_query(target regclass, "column" text)
returns text stable language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cache_column_drift_query(regclass, text) is
  'the query that lockstep.cache_column_drift runs';
"#)]
fn cache_column_drift_query(target: Option<pg_sys::Oid>, column: Option<&str>) -> String {
    let target = required(target, "target");
    let column = required(column, "column");
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
) -> i64 {
    let target = required(target, "target");
    let column = required(column, "column");
    let max_rows = match max_rows {
        None => usize::MAX,
        Some(rows) => usize::try_from(rows)
            .map_err(|_| Error::NegativeLimit { rows })
            .or_raise(),
    };
    let resolved = resolved(target, column).or_raise();
    check_is_owner(&resolved.target).or_raise();
    let keeper = keeper(resolved.definition.id).or_raise();
    let written = if resolved.target.owner == resolved.source.owner {
        repair(keeper, drifted_keys(&resolved, max_rows))
    } else {
        repair_all(&keeper, &resolved, max_rows)
    };
    written as i64
}

/// No role may read both tables, so all target rows are looked at, a part at a time.
fn repair_all(keeper: &Rc<Keeper>, resolved: &Resolved, max_rows: usize) -> usize {
    const PART: usize = 10_000;
    let mut keys = all_keys(resolved).into_iter();
    let mut written = 0;
    while written < max_rows {
        let part: Vec<i64> = keys.by_ref().take(PART.min(max_rows - written)).collect();
        if part.is_empty() {
            break;
        }
        written += repair(Rc::clone(keeper), part);
    }
    written
}

/// How many rows of a definition are wrong, counted up to a limit.
pub(crate) fn count_drift(definition: i32, limit: usize) -> Result<usize> {
    let keeper = keeper(definition)?;
    Ok(drifted_keys(&keeper.resolved, limit).len())
}

/// The tables that have cache columns.
pub(crate) fn targets() -> Result<Vec<u32>> {
    Definition::targets()
}

/// Repairs all cache columns of the target rows with keys from `first` to `last`; answers how many values it wrote. Rows whose
/// columns are right are not even locked, if one role owns both tables.
pub(crate) fn repair_range(target: u32, first: i64, last: i64) -> Result<usize> {
    let mut written = 0;
    for definition in Definition::of_table(target)? {
        if definition.target != target {
            continue;
        }
        let keeper = keeper(definition.id)?;
        let keys = suspects(&keeper.resolved, first, last)?;
        written += repair(keeper, keys);
    }
    Ok(written)
}

thread_local! {
    // Never dropped, see `Keeper`.
    static SUSPECTS: ManuallyDrop<RefCell<Known<i32, Rc<Statement>>>> =
        const { ManuallyDrop::new(RefCell::new(Known::new())) };
}

/// The keys of the range that may have drifted: those that have, or all, if no role may read both tables.
fn suspects(resolved: &Resolved, first: i64, last: i64) -> Result<Vec<i64>> {
    let query = SUSPECTS.with(|known| {
        Known::get_or_learn(known, resolved.definition.id, || {
            Ok(Rc::new(suspects_query(resolved)))
        })
    })?;
    let owner = pg_sys::Oid::from(resolved.target.owner);
    let mut keys = Vec::new();
    connected(|| {
        as_owner(owner, || {
            query.rows(View::Own, &[first, last].map(datum), |row| {
                keys.extend(row.get::<i64>(1));
            });
        });
    });
    Ok(keys)
}

fn suspects_query(resolved: &Resolved) -> Statement {
    let target = resolved.target.qualified_name();
    let id = resolved.primary_key.quoted();
    let drifted = match resolved.target.owner == resolved.source.owner {
        true => format!(
            "and t.{} is distinct from {}",
            resolved.column.quoted(),
            resolved.exists_sql()
        ),
        false => String::new(),
    };
    let text = format!(
        "select t.{id}::pg_catalog.int8 from {target} t
          where t.{id} operator(pg_catalog.>=) $1 and t.{id} operator(pg_catalog.<=) $2 {drifted}"
    );
    let columns = [&resolved.primary_key, &resolved.key].map(|column| column.name.clone());
    Statement::by_index(&text, &[pg_sys::INT8OID; 2], &Rc::from(columns))
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
    drift_sql_in(resolved, &resolved.target)
}

/// `target` is the target, or a partition of it.
fn drift_sql_in(resolved: &Resolved, target: &Relation) -> String {
    let target = target.qualified_name();
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

fn drifted_keys(resolved: &Resolved, max_rows: usize) -> Vec<i64> {
    let drift = drift_sql(resolved);
    let limit = i64::try_from(max_rows).unwrap_or(i64::MAX);
    let text = format!("select array(select d.key from ({drift}) d order by d.key limit {limit})");
    keys_as_target_owner(resolved, &text)
}

/// The keys of a partition of the target that are to be looked at, because it came with rows.
pub(super) fn drifted_keys_in(resolved: &Resolved, part: &Relation) -> Vec<i64> {
    match resolved.target.owner == resolved.source.owner {
        true => {
            let drift = drift_sql_in(resolved, part);
            keys_as_target_owner(
                resolved,
                &format!("select array(select d.key from ({drift}) d)"),
            )
        }
        false => all_keys_in(resolved, part),
    }
}

fn all_keys(resolved: &Resolved) -> Vec<i64> {
    all_keys_in(resolved, &resolved.target)
}

fn all_keys_in(resolved: &Resolved, target: &Relation) -> Vec<i64> {
    let target = target.qualified_name();
    let id = resolved.primary_key.quoted();
    let text =
        format!("select array(select t.{id}::pg_catalog.int8 from {target} t order by t.{id})");
    keys_as_target_owner(resolved, &text)
}

fn keys_as_target_owner(resolved: &Resolved, text: &str) -> Vec<i64> {
    keys_as(resolved.target.owner, text)
}

/// The keys that a query answers with, as one array, with the rights of a role.
pub(super) fn keys_as(owner: u32, text: &str) -> Vec<i64> {
    let query = Statement::new(text, &[]);
    let owner = pg_sys::Oid::from(owner);
    let row = connected(|| as_owner(owner, || query.first_row::<Vec<i64>, 1>(&[])));
    let [keys] = row.unwrap_or_default();
    keys.unwrap_or_default()
}
