//! One transaction of a worker: a sub-batch, a new range, or the end of the run.

use super::range::{Progress, Range, Whose};
use super::run::{Run, Status};
use super::settings::Settings;
use super::{hold, pace, presence, server_log};
use crate::backfill::jobs::{Counts, KeyRange, Task, registry};
use crate::error::{BackfillError, OrRaise, Result};
use lockstep_server::host::{self, Relation};
use lockstep_server::lock::is_waited_for;
use lockstep_server::{Failure, attempt_catching, keep_extension, with_settings, within};
use pgrx::PgSqlErrorCode::{self, *};
use pgrx::pg_sys::Oid;
use std::cell::RefCell;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

/// A background worker of a run, or a session that called the procedure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Background { slot: i32, role: Oid },
    Session,
}

impl Worker {
    pub(super) fn slot(self) -> i32 {
        match self {
            Self::Background { slot, .. } => slot,
            Self::Session => presence::SESSION,
        }
    }

    /// In a session a cancellation ends the call as a whole. In a background worker it ends a sub-batch, like our own timeout.
    fn catches(self, code: PgSqlErrorCode) -> bool {
        match code {
            ERRCODE_ADMIN_SHUTDOWN => false,
            ERRCODE_QUERY_CANCELED => self != Self::Session,
            _ => true,
        }
    }
}

/// What to do after a step, once its transaction has committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The next step, after this many milliseconds.
    StepAfter(i32),
    /// Nothing: the run has ended or is paused.
    Stop,
}

/// How long a worker waits while another one has the last range.
const WAIT_FOR_OTHERS_MS: i32 = 200;

/// How long to wait before retrying a sub-batch that timed out.
const WAIT_AFTER_TIMEOUT_MS: i32 = 100;

/// How often a worker checks during a pause or hold whether its run has changed. Someone who cancels a run does not mind a
/// second, and a check takes 0.2 ms.
pub(crate) const LOOK_EVERY_MS: i32 = 1_000;

thread_local! {
    /// The run of this process's last step, and the settings it used.
    static LAST: RefCell<Option<(i64, Settings)>> = const { RefCell::new(None) };
}

/// Whether a pause must end early: the run is no longer active, or its settings have changed.
pub(crate) fn is_changed(run: i64) -> Result<bool> {
    let Some(run) = Run::find_newest(run)?.filter(|run| run.status == Status::Running) else {
        return Ok(true);
    };
    Ok(LAST.with_borrow(|last| {
        last.as_ref()
            .is_some_and(|(id, settings)| *id == run.id && *settings != run.settings)
    }))
}

pub(crate) fn step(run: i64, worker: Worker) -> Result<Next> {
    keep_extension();
    let Some(run) = Run::find(run)?.filter(|run| run.status == Status::Running) else {
        return Ok(Next::Stop);
    };
    LAST.set(Some((run.id, run.settings.clone())));
    if run.role == Oid::INVALID {
        return Err(BackfillError::Gone { run: run.id }.into());
    }
    if let Worker::Background { role, .. } = worker
        && role != run.role
    {
        return Err(BackfillError::OwnerChanged {
            table: Relation::describe(run.table)?.qualified_name(),
        }
        .into());
    }
    let task = registry::task(&run.job, run.table)?;
    if let Some(range) = Range::take(&run, worker.slot(), Whose::Mine)? {
        return work(&run, &task, range, worker);
    }
    if run.handed_out != run.last_key {
        return hand_out(run.id, &task, worker.slot());
    }
    match Range::take(&run, worker.slot(), Whose::Anybodys)? {
        Some(range) => work(&run, &task, range, worker),
        None => end(run.id),
    }
}

/// Takes the next range of the run in its own transaction, which locks the run.
fn hand_out(run: i64, task: &Task, slot: i32) -> Result<Next> {
    let run = Run::lock(run)?;
    if run.status != Status::Running {
        return Ok(Next::Stop);
    }
    let rest = KeyRange {
        after: run.handed_out.clone(),
        last: run.last_key.clone(),
    };
    if rest.after != rest.last {
        let (range, rows) = task.walk.cut(&rest, run.settings.range_size);
        if rows > 0 {
            Range::open(&run, slot, &range, pace::size_for(run.id, &run.settings))?;
        }
        run.hand_out(&range.last)?;
    }
    Ok(Next::StepAfter(0))
}

/// Ends the run, unless a range is still being processed.
fn end(run: i64) -> Result<Next> {
    let run = Run::lock(run)?;
    if run.status != Status::Running {
        return Ok(Next::Stop);
    }
    match Range::numbers(run.id)? {
        (0, 0) => run.set_status(Status::Finished)?,
        (0, _) => run.set_status(Status::Failed)?,
        _ => return Ok(Next::StepAfter(WAIT_FOR_OTHERS_MS)),
    }
    Ok(Next::Stop)
}

/// Processes the next sub-batch of a range.
fn work(run: &Run, task: &Task, mut range: Range, worker: Worker) -> Result<Next> {
    let settings = &run.settings;
    if let Some(hold) = hold::reason(run, range.held_by.is_some())? {
        range.hold(worker.slot(), &hold)?;
        return Ok(Next::StepAfter(settings.hold_ms));
    }
    let begun = Instant::now();
    let (part, rows) = task.walk.cut(&range.rest, range.sub_batch_size);
    let mut made_wait = false;
    if rows > 0 {
        match attempt_part(task, &part, settings, worker) {
            Ok((counts, has_waiters)) => {
                made_wait = settings.hold_for_waiters && has_waiters;
                range.counts.add(&Counts {
                    scanned: rows,
                    ..counts
                });
            }
            Err(failure) => return fail(run, &range, &part, rows, worker, &failure),
        }
    }
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    range.longest_ms = range.longest_ms.max(ms);
    let size = match made_wait {
        true => pace::smaller(range.sub_batch_size),
        false => pace::next_size(settings, range.sub_batch_size, rows, ms),
    };
    let rows_per_second = pace::rate(run.id, size, rows, ms);
    if part.last == range.rest.last {
        range.finish(run)?;
    } else {
        range.advance(
            worker.slot(),
            &Progress {
                up_to: part.last,
                next_size: size,
                rows_per_second,
                hold: made_wait.then(hold::waiters),
            },
        )?;
    }
    // Sessions that waited get as much time as the rows were locked.
    let pause = match made_wait {
        true => settings.pause_ms.max(ms as i32),
        false => settings.pause_ms,
    };
    Ok(Next::StepAfter(pause))
}

/// The counts, and whether other sessions wait for the rows.
fn attempt_part(
    task: &Task,
    part: &KeyRange,
    settings: &Settings,
    worker: Worker,
) -> Result<(Counts, bool), Failure> {
    let lock_timeout = CString::new(settings.lock_timeout_ms.to_string()).unwrap_or_default();
    let limit = match worker {
        Worker::Background { .. } => settings.statement_timeout_ms,
        Worker::Session => 0,
    };
    attempt_catching(
        |code| worker.catches(code),
        AssertUnwindSafe(|| {
            within(limit, || {
                with_settings(&[(c"lock_timeout", &lock_timeout)], || {
                    task.as_owner(|| {
                        // Deferred constraints would fail at the commit, too late to retry with fewer rows.
                        host::run("set constraints all immediate").or_raise();
                        let counts = task.job.run(part).or_raise();
                        (counts, is_waited_for())
                    })
                })
            })
        }),
    )
}

/// A sub-batch failed and was rolled back. It is retried with half the rows until a single row is left; if that keeps failing it
/// is set aside, and the run continues.
fn fail(
    run: &Run,
    range: &Range,
    part: &KeyRange,
    rows: i64,
    worker: Worker,
    failure: &Failure,
) -> Result<Next> {
    let settings = &run.settings;
    let wait = match failure.code {
        ERRCODE_LOCK_NOT_AVAILABLE
        | ERRCODE_QUERY_CANCELED
        | ERRCODE_T_R_DEADLOCK_DETECTED
        | ERRCODE_T_R_SERIALIZATION_FAILURE => WAIT_AFTER_TIMEOUT_MS,
        _ => 0,
    };
    if rows > 1 {
        let size = pace::smaller(range.sub_batch_size.min(rows as i32));
        range.retry(worker.slot(), size, 0, failure)?;
        return Ok(Next::StepAfter(wait));
    }
    if range.attempts + 1 < settings.max_attempts {
        range.retry(worker.slot(), 1, range.attempts + 1, failure)?;
        return Ok(Next::StepAfter(wait));
    }
    range.set_aside(worker.slot(), part, failure)?;
    server_log::set_aside(&run.name(), part, failure);
    if part.last == range.rest.last {
        range.finish(run)?;
    }
    let (_, set_aside) = Range::numbers(run.id)?;
    if set_aside >= i64::from(settings.max_set_aside) {
        let run = Run::lock(run.id)?;
        run.set_status(Status::Failed)?;
        return Ok(Next::Stop);
    }
    Ok(Next::StepAfter(wait))
}
