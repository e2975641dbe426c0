//! Ranges: the part of a run that one worker processes, and its position there.

use super::hold::Hold;
use super::run::Run;
use crate::backfill::jobs::{Counts, Key, KeyRange};
use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{Failure, OwnStatement, datum, nullable};
use pgrx::pg_sys::{self, Datum};

/// An open row of lockstep_internal.backfill_range, locked until the end of the transaction.
pub(crate) struct Range {
    id: i64,
    pub(crate) rest: KeyRange,
    pub(crate) sub_batch_size: i32,
    pub(crate) attempts: i32,
    pub(crate) counts: Counts,
    pub(super) longest_ms: f64,
    pub(crate) held_by: Option<String>,
}

/// Which ranges a worker asks for.
#[derive(Clone, Copy)]
pub(super) enum Whose {
    /// Its own, or an unassigned one.
    Mine,
    /// Any range that nobody works on right now: its worker is gone or paused.
    Anybodys,
}

const COLUMNS: &str =
    "g.id, g.after_key, g.last_key, g.sub_batch_size, g.attempts, g.scanned, g.updated,
  g.unresolved::text, g.longest_ms, g.held_by";

struct Statements {
    take_mine: OwnStatement,
    take_any: OwnStatement,
    open: OwnStatement,
    advance: OwnStatement,
    finish: OwnStatement,
    hold: OwnStatement,
    retry_smaller: OwnStatement,
    set_aside: OwnStatement,
    skip: OwnStatement,
    statuses: OwnStatement,
    reopen: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements::new();
}

impl Statements {
    fn new() -> Self {
        let take = |whose: &str| {
            OwnStatement::new(
                &format!(
                    "select {COLUMNS} from lockstep_internal.backfill_range g
                      where g.run_id = $1 and g.status = 'open' and {whose}
                      order by g.slot is distinct from $2, g.id limit 1 for update skip locked"
                ),
                &[pg_sys::INT8OID, pg_sys::INT4OID],
            )
        };
        Self {
            take_mine: take("(g.slot = $2 or g.slot is null)"),
            take_any: take("true"),
            open: OwnStatement::new(
                "insert into lockstep_internal.backfill_range (run_id, slot, after_key, last_key, sub_batch_size)
                 values ($1, $2, $3, $4, $5)",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::INT4OID,
                ],
            ),
            advance: OwnStatement::new(
                "update lockstep_internal.backfill_range
                    set slot = $2, after_key = $3, sub_batch_size = $4, attempts = 0, scanned = $5, updated = $6,
                        unresolved = $7::jsonb, rows_per_second = $8, longest_ms = $9, held_by = $10, held_cause = $11,
                        updated_at = clock_timestamp()
                  where id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::INT4OID,
                    pg_sys::INT8OID,
                    pg_sys::INT8OID,
                    pg_sys::TEXTOID,
                    pg_sys::FLOAT8OID,
                    pg_sys::FLOAT8OID,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTOID,
                ],
            ),
            finish: OwnStatement::new(
                "delete from lockstep_internal.backfill_range where id = $1",
                &[pg_sys::INT8OID],
            ),
            hold: OwnStatement::new(
                "update lockstep_internal.backfill_range
                    set slot = $2, held_by = $3, held_cause = $4, updated_at = clock_timestamp()
                  where id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTOID,
                ],
            ),
            retry_smaller: OwnStatement::new(
                "update lockstep_internal.backfill_range
                    set slot = $2, sub_batch_size = $3, attempts = $4, sqlstate = $5, error = $6, held_by = null, held_cause = null,
                        updated_at = clock_timestamp()
                  where id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT4OID,
                    pg_sys::INT4OID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTOID,
                ],
            ),
            set_aside: OwnStatement::new(
                "insert into lockstep_internal.backfill_range (run_id, status, after_key, last_key, sub_batch_size, attempts, sqlstate, error)
                 select g.run_id, 'set_aside', $2, $3, g.sub_batch_size, $4, $5, $6
                   from lockstep_internal.backfill_range g where g.id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::TEXTARRAYOID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTOID,
                    pg_sys::TEXTOID,
                ],
            ),
            skip: OwnStatement::new(
                "update lockstep_internal.backfill_range
                    set slot = $2, after_key = $3, attempts = 0, sqlstate = null, error = null, held_by = null,
                        held_cause = null, updated_at = clock_timestamp()
                  where id = $1",
                &[
                    pg_sys::INT8OID,
                    pg_sys::INT4OID,
                    pg_sys::TEXTARRAYOID,
                ],
            ),
            statuses: OwnStatement::new(
                "select count(*) filter (where g.status = 'open'), count(*) filter (where g.status = 'set_aside')
                   from lockstep_internal.backfill_range g where g.run_id = $1",
                &[pg_sys::INT8OID],
            ),
            reopen: OwnStatement::new(
                "update lockstep_internal.backfill_range
                    set status = 'open', slot = null, attempts = 0, updated_at = clock_timestamp()
                  where run_id = $1 and status = 'set_aside'",
                &[pg_sys::INT8OID],
            ),
        }
    }
}

/// The result of a completed sub-batch.
pub(super) struct Progress {
    pub(super) up_to: Key,
    pub(super) next_size: i32,
    pub(super) rows_per_second: f64,
    /// What the worker waits for afterwards.
    pub(super) hold: Option<Hold>,
}

impl Range {
    /// Takes a range to work on, if there is one.
    pub(super) fn take(run: &Run, slot: i32, whose: Whose) -> Result<Option<Self>> {
        let mut found = None;
        STATEMENTS.with(|statements| {
            let statement = match whose {
                Whose::Mine => &statements.take_mine,
                Whose::Anybodys => &statements.take_any,
            };
            statement.rows(&[datum(run.id), datum(slot)], |row| {
                found = Some(Self {
                    id: row.get(1).unwrap_or_default(),
                    rest: KeyRange {
                        after: row.get(2).unwrap_or_default(),
                        last: row.get(3).unwrap_or_default(),
                    },
                    sub_batch_size: row.get(4).unwrap_or(1),
                    attempts: row.get(5).unwrap_or_default(),
                    counts: Counts {
                        scanned: row.get(6).unwrap_or_default(),
                        updated: row.get(7).unwrap_or_default(),
                        unresolved: Counts::unresolved_of_json(
                            &row.get::<String>(8).unwrap_or_default(),
                        ),
                    },
                    longest_ms: row.get(9).unwrap_or_default(),
                    held_by: row.get(10),
                });
            })
        })?;
        Ok(found)
    }

    pub(crate) fn open(run: &Run, slot: i32, range: &KeyRange, sub_batch_size: i32) -> Result<()> {
        let [after, last] = range.arguments();
        let arguments = [
            datum(run.id),
            datum(slot),
            after,
            last,
            datum(sub_batch_size),
        ];
        run_one(|statements| &statements.open, &arguments)
    }

    /// Moves the position to the last key processed, with the counts so far.
    pub(super) fn advance(&self, slot: i32, progress: &Progress) -> Result<()> {
        let hold = progress.hold.as_ref();
        let arguments = [
            Some(datum(self.id)),
            Some(datum(slot)),
            Some(datum(progress.up_to.clone())),
            Some(datum(progress.next_size)),
            Some(datum(self.counts.scanned)),
            Some(datum(self.counts.updated)),
            Some(datum(self.counts.unresolved_json())),
            Some(datum(progress.rows_per_second)),
            Some(datum(self.longest_ms)),
            nullable(hold.map(|hold| hold.text.as_str())),
            nullable(hold.map(|hold| hold.cause)),
        ];
        STATEMENTS.with(|statements| statements.advance.run_with_nulls(&arguments))?;
        Ok(())
    }

    /// Closes the range and adds its counts to the run.
    pub(crate) fn finish(&self, run: &Run) -> Result<()> {
        run_one(|statements| &statements.finish, &[datum(self.id)])?;
        run.add_counts(&self.counts, self.longest_ms)
    }

    /// Records what holds the range's worker.
    pub(super) fn hold(&self, slot: i32, hold: &Hold) -> Result<()> {
        if self.held_by.as_deref() == Some(&*hold.text) {
            return Ok(());
        }
        let arguments = [
            datum(self.id),
            datum(slot),
            datum(hold.text.as_str()),
            datum(hold.cause),
        ];
        run_one(|statements| &statements.hold, &arguments)
    }

    /// The next sub-batch will have `size` rows, because the last one failed.
    pub(crate) fn retry(
        &self,
        slot: i32,
        size: i32,
        attempts: i32,
        failure: &Failure,
    ) -> Result<()> {
        let arguments = [
            datum(self.id),
            datum(slot),
            datum(size),
            datum(attempts),
            datum(state(failure)),
            datum(text(failure)),
        ];
        run_one(|statements| &statements.retry_smaller, &arguments)
    }

    /// Sets aside the first part of what is left of the range, and continues after it.
    pub(crate) fn set_aside(&self, slot: i32, part: &KeyRange, failure: &Failure) -> Result<()> {
        let [after, last] = part.arguments();
        let arguments = [
            datum(self.id),
            after,
            last,
            datum(self.attempts + 1),
            datum(state(failure)),
            datum(text(failure)),
        ];
        run_one(|statements| &statements.set_aside, &arguments)?;
        let arguments = [datum(self.id), datum(slot), datum(part.last.clone())];
        run_one(|statements| &statements.skip, &arguments)
    }

    /// How many ranges of a run are open, and how many are set aside.
    pub(crate) fn numbers(run: i64) -> Result<(i64, i64)> {
        let mut numbers = (0, 0);
        STATEMENTS.with(|statements| {
            statements.statuses.rows(&[datum(run)], |row| {
                numbers = (
                    row.get(1).unwrap_or_default(),
                    row.get(2).unwrap_or_default(),
                );
            })
        })?;
        Ok(numbers)
    }

    /// Reopens the ranges that were set aside.
    pub(crate) fn reopen(run: i64) -> Result<()> {
        run_one(|statements| &statements.reopen, &[datum(run)])
    }
}

fn run_one(which: impl FnOnce(&Statements) -> &OwnStatement, arguments: &[Datum]) -> Result<()> {
    STATEMENTS.with(|statements| which(statements).run(arguments))?;
    Ok(())
}

/// The five characters of the SQLSTATE; PostgreSQL stores six bits for each.
fn state(failure: &Failure) -> String {
    let code = failure.code as i32;
    let characters = (0..5).map(|place| (code >> (6 * place)) as u8 & 0x3f);
    characters.map(|bits| char::from(bits + b'0')).collect()
}

fn text(failure: &Failure) -> String {
    match &failure.detail {
        Some(detail) => format!("{}: {detail}", failure.message),
        None => failure.message.clone(),
    }
}
