//! The jobs there are: those that come with lockstep, and those that DBAs registered.

use super::counts::Counts;
use super::job::{Job, Task};
use super::key::{KeyRange, Walk};
use super::registered;
use crate::error::{BackfillError, Result};
use crate::host::{self, Known, Relation, check_is_owner};
use crate::{cache_column, service_account, slack_workspace};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::rc::Rc;

const SERVICE_ACCOUNTS: &str = "service_accounts";
const CACHE_COLUMNS: &str = "cache_columns";
const SLACK_WORKSPACES: &str = "slack_workspaces";

pub(super) fn is_built_in(job: &str) -> bool {
    matches!(job, SERVICE_ACCOUNTS | CACHE_COLUMNS | SLACK_WORKSPACES)
}

/// The table a job is to go through: the one named, or the one it has if that is clear.
pub(super) fn table_of(job: &str, named: Option<Oid>) -> Result<u32> {
    let named = named.map(Oid::to_u32);
    let known = match job {
        SERVICE_ACCOUNTS => service_account::tables_to_fill(),
        CACHE_COLUMNS => cache_column::targets()?,
        SLACK_WORKSPACES => host::tables_named(slack_workspace::TABLE),
        _ => vec![registered::table_of(job)?],
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

/// By the name of the job and the OID of the table.
type Tasks = RefCell<Known<(String, u32), Rc<Task>>>;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static TASKS: ManuallyDrop<Tasks> = const { ManuallyDrop::new(RefCell::new(Known::new())) };
}

/// A job on a table, remembered until a table changes; the caller must have the rights of its owner.
pub(super) fn task(job: &str, table: u32) -> Result<Rc<Task>> {
    // What is remembered of a registered job is of one registration.
    let known_as = match is_built_in(job) {
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
    if !is_built_in(job) {
        return registered::task(job, table);
    }
    let key = table.integer_primary_key()?.name.clone();
    Ok(Task {
        walk: Walk::new(&table, &[key])?,
        job: match job {
            SERVICE_ACCOUNTS => Box::new(ServiceAccounts {
                schema: table.schema().to_owned(),
            }),
            SLACK_WORKSPACES => Box::new(SlackWorkspaces {
                schema: table.schema().to_owned(),
            }),
            _ => Box::new(CacheColumns { target: table.oid }),
        },
        table,
    })
}

struct ServiceAccounts {
    schema: String,
}

impl Job for ServiceAccounts {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let filled = service_account::fill(&self.schema, first, last)?;
        let unresolved = [
            ("no_item", filled.no_item),
            ("no_root_group", filled.no_root_group),
            ("no_consumer", filled.no_consumer),
            ("consumer_without_account", filled.consumer_without_account),
        ];
        Ok(Counts {
            scanned: 0,
            updated: filled.updated,
            unresolved: unresolved
                .map(|(reason, rows)| (reason.to_owned(), rows))
                .into(),
        })
    }
}

struct SlackWorkspaces {
    schema: String,
}

impl Job for SlackWorkspaces {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let updated = slack_workspace::repair_range(&self.schema, first, last)?;
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}

struct CacheColumns {
    target: u32,
}

impl Job for CacheColumns {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let Some((first, last)) = range.integers() else {
            return Ok(Counts::default());
        };
        let updated = cache_column::repair_range(self.target, first, last)?;
        Ok(Counts {
            updated: updated as i64,
            ..Counts::default()
        })
    }
}
