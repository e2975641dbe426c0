//! Existing rows: fills a range of keys as a set.
//!
//! Rows are read without locks, resolved, and written by one statement that skips every row written since, whether its account or
//! anything the account depends on was changed. The skipped rows, if still without an account, are locked, read and resolved
//! again. So an account is never overwritten or computed from an old version of a row, and a row that cannot be resolved is
//! neither written nor locked.

use super::resolver::{Outcome, Resolver, Workflow};
use super::tables::Tables;
use crate::error::{OrRaise, Result, check_range, required};
use lockstep_server::host::check_is_owner;
use lockstep_server::{Answer, View, connected, datum, keys_argument};
use pgrx::pg_sys::{Datum, TransactionId};
use pgrx::prelude::*;

/// Rows that are read, resolved and written at a time.
const PART: usize = 5_000;

/// Counts for a range. Rows that other sessions filled or deleted in the meantime only count as scanned.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filled {
    /// Rows without an account.
    pub(crate) scanned: i64,
    pub(crate) updated: i64,
    pub(crate) no_item: i64,
    pub(crate) no_root_group: i64,
    pub(crate) no_consumer: i64,
    pub(crate) consumer_without_account: i64,
}

/// Fills the service accounts of a range of workflows, both ends included.
#[pg_extern(sql = r#"
create function lockstep.fill_service_accounts(start_id bigint, end_id bigint, schema text default 'public')
returns table (scanned bigint, updated bigint, no_item bigint, no_root_group bigint, no_consumer bigint,
               consumer_without_account bigint)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.fill_service_accounts(bigint, bigint, text) is
  'fills the service account of workflows of a key range that have none; how many, and how many could not be resolved and why';
"#)]
#[allow(clippy::type_complexity)]
fn fill_service_accounts(
    start_id: Option<i64>,
    end_id: Option<i64>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(scanned, i64),
        name!(updated, i64),
        name!(no_item, i64),
        name!(no_root_group, i64),
        name!(no_consumer, i64),
        name!(consumer_without_account, i64),
    ),
> {
    let start = required(start_id, "start_id");
    let end = required(end_id, "end_id");
    let schema = required(schema, "schema");
    check_range(("start_id", start), ("end_id", end)).or_raise();
    let filled = fill(schema, start, end).or_raise();
    TableIterator::once((
        filled.scanned,
        filled.updated,
        filled.no_item,
        filled.no_root_group,
        filled.no_consumer,
        filled.consumer_without_account,
    ))
}

/// Fills a schema's workflows with ids from `start` to `end`, with the rights of the tables' owners; the caller must own the
/// workflows. It counts as one statement: what it looked up once holds for the whole range.
pub(crate) fn fill(schema: &str, start: i64, end: i64) -> Result<Filled> {
    let tables = Tables::of_schema(schema)?;
    check_is_owner(&tables.workflows)?;
    let mut filled = Filled::default();
    let mut resolver = Resolver::default();
    let mut next = Some(start);
    while let Some(first) = next {
        let part = connected(|| {
            let part = Part::unfilled(&tables, View::Own, first, end);
            filled.scanned += part.ids.len() as i64;
            resolver.look_up(&tables, View::Own, &part.workflows);
            let missed = part.write(&tables, &resolver, &mut filled);
            if !missed.is_empty() {
                let again = Part::still_unfilled(&tables, &missed);
                let mut fresh = Resolver::default();
                fresh.look_up(&tables, View::Own, &again.workflows);
                again.write(&tables, &fresh, &mut filled);
            }
            part
        });
        next = part.next();
    }
    Ok(filled)
}

/// Notes what would become of each workflow without an account, whether that would be written, and its id. Reads as of the calling
/// statement.
pub(crate) fn preview(schema: &str, note: &mut dyn FnMut(&str, bool, i64)) -> Result<()> {
    let tables = Tables::of_schema(schema)?;
    check_is_owner(&tables.workflows)?;
    let mut resolver = Resolver::default();
    let mut next = Some(i64::MIN);
    while let Some(first) = next {
        let part = connected(|| {
            let part = Part::unfilled(&tables, View::Caller, first, i64::MAX);
            resolver.look_up(&tables, View::Caller, &part.workflows);
            part
        });
        for (id, workflow) in part.ids.iter().zip(&part.workflows) {
            let outcome = resolver.outcome(workflow);
            note(outcome.name(), outcome.account().is_some(), *id);
        }
        next = part.next();
    }
    Ok(())
}

/// Rows without an account, in id order.
#[derive(Default)]
struct Part {
    ids: Vec<i64>,
    workflows: Vec<Workflow>,
    /// The writer of each row, which tells its version from a later one.
    writers: Vec<i32>,
}

impl Part {
    fn unfilled(tables: &Tables, view: View, first: i64, last: i64) -> Self {
        let mut part = Self::default();
        let arguments = [first, last, PART as i64].map(Datum::from);
        tables.unfilled.rows(view, &arguments, |row| part.push(row));
        part
    }

    /// The id to continue with, if there may be more.
    fn next(&self) -> Option<i64> {
        match self.ids.last() {
            Some(last) if self.ids.len() == PART => last.checked_add(1),
            _ => None,
        }
    }

    /// Those of the ids that still have no account, locked until the transaction ends.
    fn still_unfilled(tables: &Tables, ids: &[i64]) -> Self {
        let mut part = Self::default();
        tables
            .still_unfilled
            .rows(View::Own, &[keys_argument(ids)], |row| part.push(row));
        part
    }

    fn push(&mut self, row: &Answer) {
        let writer = row
            .get::<TransactionId>(8)
            .unwrap_or(TransactionId::INVALID);
        self.ids.extend(row.get::<i64>(1));
        self.workflows.push(Workflow::of_row(row));
        // PostgreSQL compares it with an integer bit by bit.
        self.writers.push(writer.into_inner().cast_signed());
    }

    /// Writes the accounts found and counts the outcome of each row. Returns the ids of rows that another session may have
    /// written in the meantime, which are not counted.
    fn write(&self, tables: &Tables, resolver: &Resolver, filled: &mut Filled) -> Vec<i64> {
        let (mut ids, mut accounts, mut writers) = (Vec::new(), Vec::new(), Vec::new());
        for ((id, workflow), writer) in self.ids.iter().zip(&self.workflows).zip(&self.writers) {
            match resolver.outcome(workflow) {
                Outcome::Resolved(account) => {
                    ids.push(*id);
                    accounts.push(account);
                    writers.push(*writer);
                }
                Outcome::NoItem => filled.no_item += 1,
                Outcome::NoRootGroup => filled.no_root_group += 1,
                Outcome::NoConsumer => filled.no_consumer += 1,
                Outcome::ConsumerWithoutAccount => filled.consumer_without_account += 1,
            }
        }
        if ids.is_empty() {
            return ids;
        }
        let arguments = [
            keys_argument(&ids),
            keys_argument(&accounts),
            datum(writers),
        ];
        let written = tables.set_accounts.write(&arguments);
        filled.updated += written as i64;
        if written == ids.len() {
            ids.clear();
        }
        ids
    }
}
