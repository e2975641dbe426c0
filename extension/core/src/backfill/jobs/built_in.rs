//! The built-in jobs of lockstep and of extensions that build on it.

use super::counts::Counts;
use super::job::Job;
use super::key::KeyRange;
use crate::error::Result;
use crate::{cache_column, service_account};
use lockstep_server::host::{Relation, tables_named};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;

const SERVICE_ACCOUNTS: &str = "service_accounts";
const CACHE_COLUMNS: &str = "cache_columns";

kept! {
    static OF_EXTENSION: OwnStatement = OwnStatement::new(
        "select f.target_table::text, format('%I.%I', f.function_schema, f.function_name)
           from lockstep_internal.backfill_function f where f.job = $1",
        &[pg_sys::TEXTOID],
    );
}

/// The name of its tables and its function.
fn of_extension(job: &str) -> Result<Option<(String, String)>> {
    let mut found = None;
    OF_EXTENSION.with(|statement| {
        statement.rows(&[datum(job)], |row| found = row.get(1).zip(row.get(2)))
    })?;
    Ok(found)
}

pub(super) fn is_built_in(job: &str) -> Result<bool> {
    Ok(matches!(job, SERVICE_ACCOUNTS | CACHE_COLUMNS) || of_extension(job)?.is_some())
}

/// The tables that a built-in job can process.
pub(super) fn tables_of(job: &str) -> Result<Option<Vec<u32>>> {
    Ok(match job {
        SERVICE_ACCOUNTS => Some(service_account::tables_to_fill()),
        CACHE_COLUMNS => Some(cache_column::targets()?),
        _ => of_extension(job)?.map(|(table, _)| tables_named(&table)),
    })
}

/// The built-in job of that name for a table.
pub(super) fn job(job: &str, table: &Relation) -> Result<Option<Box<dyn Job>>> {
    let schema = table.schema().to_owned();
    Ok(Some(match job {
        SERVICE_ACCOUNTS => Box::new(ServiceAccounts { schema }),
        CACHE_COLUMNS => Box::new(CacheColumns { target: table.oid }),
        _ => match of_extension(job)? {
            Some((_, function)) => Box::new(OfExtension {
                schema,
                run: OwnStatement::new(
                    &format!("select {function}($1, $2, $3)"),
                    &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::INT8OID],
                ),
            }),
            None => return Ok(None),
        },
    }))
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

    fn preview(&self, note: &mut dyn FnMut(&str, bool, i64)) -> Result<bool> {
        service_account::preview(&self.schema, note)?;
        Ok(true)
    }
}

struct OfExtension {
    schema: String,
    run: OwnStatement,
}

impl Job for OfExtension {
    fn run(&self, range: &KeyRange) -> Result<Counts> {
        let mut counts = Counts::default();
        let Some((first, last)) = range.integers() else {
            return Ok(counts);
        };
        let arguments = [datum(self.schema.as_str()), datum(first), datum(last)];
        self.run.rows(&arguments, |row| {
            counts.updated = row.get(1).unwrap_or_default();
        })?;
        Ok(counts)
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

    fn preview(&self, note: &mut dyn FnMut(&str, bool, i64)) -> Result<bool> {
        cache_column::preview(self.target, &mut |outcome, key| note(outcome, true, key))?;
        Ok(true)
    }
}
