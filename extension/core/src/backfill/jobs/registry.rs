//! All jobs: built in ([`super::built_in`]) or registered by DBAs ([`registered`]).

use super::job::Task;
use super::key::Walk;
use super::{built_in, registered};
use crate::error::{BackfillError, Result};
use lockstep_server::host::{self, Known, Relation, check_is_owner};
use lockstep_server::kept;
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::rc::Rc;

/// The table a job will process: the named one, or the job's own if it has exactly one.
pub(crate) fn table_of(job: &str, named: Option<Oid>) -> Result<u32> {
    let named = named.map(Oid::to_u32);
    let known = match built_in::tables_of(job)? {
        Some(tables) => tables,
        None => vec![registered::table_of(job)?],
    };
    match (named, known.as_slice()) {
        (None, [table]) => Ok(*table),
        (Some(named), _) if known.contains(&named) => Ok(named),
        _ => Err(BackfillError::Table {
            job: job.to_owned(),
            named: named.map(table_name),
            known: known.into_iter().map(table_name).collect(),
        }
        .into()),
    }
}

fn table_name(table: u32) -> String {
    Relation::describe(table).map_or_else(|_| table.to_string(), |table| table.qualified_name())
}

/// By job name and table OID.
type Tasks = RefCell<Known<(String, u32), Rc<Task>>>;

kept! {
    static TASKS: Tasks = RefCell::new(Known::new());
}

/// A job on a table, cached until a table changes; the caller must have the rights of its owner.
pub(crate) fn task(job: &str, table: u32) -> Result<Rc<Task>> {
    // The cache entry of a registered job belongs to one registration.
    let known_as = match built_in::is_built_in(job)? {
        true => job.to_owned(),
        false => format!("{job} {}", registered::registration(job)?),
    };
    let task = TASKS.with(|known| {
        Known::get_or_learn(known, (known_as, table), || {
            host::watch(Oid::from(table));
            learn(job, table).map(Rc::new)
        })
    })?;
    check_is_owner(&task.table)?;
    Ok(task)
}

fn learn(job: &str, table: u32) -> Result<Task> {
    let table = Relation::describe(table)?;
    let Some(built_in) = built_in::job(job, &table)? else {
        return registered::task(job, table);
    };
    let key = table.integer_primary_key()?.name.clone();
    Ok(Task {
        walk: Walk::new(&table, &[key])?,
        job: built_in,
        table,
    })
}
