//! Background workers: started with a run, at most as many as it asks for, gone when it ends.
//!
//! PostgreSQL restarts a worker after a crash of the server. A worker that ends in any other way, for example by
//! pg_terminate_backend, stays away: its run keeps its position, and `resume_backfill` starts new workers. A worker whose steps
//! keep failing outside of the job leaves as well, and the last one to leave pauses the run.

use super::presence;
use super::run::{Run, Status};
use super::step::{LOOK_EVERY_MS, Next, Worker, is_changed, step};
use crate::error::{BackfillError, OrRaise, Result};
use lockstep_server::Failure;
use lockstep_server::preload::announce;
use lockstep_server::worker::{
    Login, begin, if_ended, reload, report_activity, report_pause, report_statistics, transaction,
    wait, without_cancellation,
};
use pgrx::PgSqlErrorCode::{ERRCODE_INVALID_SCHEMA_NAME, ERRCODE_UNDEFINED_TABLE};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::pg_sys::{Datum, Oid};
use pgrx::prelude::*;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// PostgreSQL restarts workers as soon as it has recovered from a crash; this interval only needs to be set.
const RESTART: Duration = Duration::from_secs(1);

/// How many steps in a row may fail outside of the job, for example by a deadlock with a session that changes the run.
const MOST_ERRORS: u32 = 5;
const WAIT_AFTER_ERROR_MS: i32 = 1_000;

/// What a worker receives when it starts.
#[derive(Clone, Copy)]
struct Place {
    login: Login,
    run: i64,
    slot: i32,
}

impl Place {
    fn text(&self) -> String {
        format!(
            "{} {} {} {} {}",
            self.login.database.to_u32(),
            self.login.role.to_u32(),
            self.login.logs_in,
            self.run,
            self.slot
        )
    }

    fn activity(&self) -> String {
        format!("lockstep: backfill run {}, worker {}", self.run, self.slot)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut oid = || words.next()?.parse::<u32>().ok().map(Oid::from);
        let (database, role) = (oid()?, oid()?);
        let logs_in = words.next()?.parse().ok()?;
        Some(Self {
            login: Login {
                database,
                role,
                logs_in,
            },
            run: words.next()?.parse().ok()?,
            slot: words.next()?.parse().ok()?,
        })
    }
}

/// Starts workers of a run as the owner of its table, as many as PostgreSQL has places for; returns how many. A worker whose slot is
/// taken ends at once.
pub(crate) fn launch_some(run: &Run, workers: i32) -> Result<i32> {
    run.ask_for_workers()?;
    let login = Login::here(run.role);
    for slot in 1..=workers {
        let place = Place {
            login,
            run: run.id,
            slot,
        };
        let name = format!("lockstep: {}, run {}, worker {slot}", run.job, run.id);
        let worker = BackgroundWorkerBuilder::new(&name)
            .set_type("lockstep backfill")
            .set_library("lockstep")
            .set_function("lockstep_backfill_worker")
            .set_extra(&place.text())
            .set_restart_time(Some(RESTART))
            .enable_spi_access()
            .load_dynamic();
        if worker.is_err() {
            return Ok(slot - 1);
        }
    }
    Ok(workers)
}

/// The same, all or none.
pub(crate) fn launch(run: &Run, workers: i32) -> Result<()> {
    check_all(launch_some(run, workers)?, workers)
}

pub(crate) fn check_all(started: i32, wanted: i32) -> Result<()> {
    if started < wanted {
        return Err(BackfillError::NoWorkerLeft { started, wanted }.into());
    }
    Ok(())
}

/// Entry point of a background worker.
#[expect(unsafe_code, reason = "PostgreSQL looks it up by this name")]
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn lockstep_backfill_worker(_argument: Datum) {
    let Some(place) = Place::parse(BackgroundWorker::get_extra()) else {
        return;
    };
    begin(place.login);
    match without_cancellation(|| transaction(place.login.role, || prepare(&place))) {
        Ok(true) => announce(place.login.database),
        // Another worker has the slot.
        Ok(false) => return,
        Err(failure) => {
            log(&place, &failure);
            let _ = transaction(place.login.role, || {
                Run::set_error(place.run, &failure.message)
            });
            return;
        }
    }
    PLACE.set(Some(place));
    if_ended(tell_of_end);
    work(&place);
    PLACE.set(None);
}

thread_local! {
    /// The slot that this process works in.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Records why the run has no worker any more, if this was the last one. Must not wait.
fn tell_of_end() {
    let Some(place) = PLACE.take() else {
        return;
    };
    let _ = transaction(place.login.role, || {
        if presence::leave_last(place.run, place.slot) && presence::try_lock_runs() {
            return Run::set_error_at_once(place.run, "its last worker was terminated");
        }
        Ok(())
    });
}

/// Returns whether it got the slot.
fn prepare(place: &Place) -> bool {
    // Position and rows change in one transaction, so what is lost in a crash is simply done again.
    for setting in [
        "set synchronous_commit = off",
        "set default_transaction_isolation = 'read committed'",
        "set default_transaction_read_only = off",
        "set idle_in_transaction_session_timeout = 0",
        // A sub-batch sets its own timeout; the run's rows are only locked briefly.
        "set lock_timeout = 0",
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        "set transaction_timeout = 0",
    ] {
        lockstep_server::host::run(setting).or_raise();
    }
    // Waits until the transaction that started the run has ended.
    presence::hold_back_workers(place.run);
    presence::try_join(place.run, place.slot)
}

fn work(place: &Place) {
    let mut errors = 0;
    // A transaction of its own: that before may be one that does not write.
    let come = || Run::have_come(place.run).or_raise();
    if let Err(failure) = without_cancellation(|| transaction(place.login.role, come)) {
        log(place, &failure);
    }
    loop {
        reload();
        report_activity(&place.activity());
        let worker = Worker::Background {
            slot: place.slot,
            role: place.login.role,
        };
        let next = transaction(place.login.role, || step(place.run, worker).or_raise());
        report_statistics();
        let wait = match next {
            Ok(Next::StepAfter(ms)) => {
                errors = 0;
                ms
            }
            Ok(Next::Stop) => return,
            Err(failure) => {
                errors += 1;
                log(place, &failure);
                let note = || {
                    match errors {
                        MOST_ERRORS => give_up(place, &failure.message),
                        _ => Run::set_error(place.run, &failure.message),
                    }
                    .or_raise();
                };
                let noted = without_cancellation(|| transaction(place.login.role, note));
                let is_gone = noted.is_err_and(|failure| {
                    let codes = [ERRCODE_INVALID_SCHEMA_NAME, ERRCODE_UNDEFINED_TABLE];
                    codes.contains(&failure.code)
                });
                if errors == MOST_ERRORS || is_gone {
                    return;
                }
                WAIT_AFTER_ERROR_MS
            }
        };
        let wait = Duration::from_millis(wait.cast_unsigned().into());
        if !wait.is_zero() {
            report_pause(&place.activity(), wait);
        }
        if !pause(place, wait) {
            return;
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(LOOK_EVERY_MS as u64);

/// Waits for the given time, or until the run is paused, cancelled or altered; false if the postmaster is gone, which is checked
/// even without a pause.
fn pause(place: &Place, length: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let rest = length.saturating_sub(begun.elapsed()).min(LOOK_EVERY);
        if !wait(rest) {
            return false;
        }
        // A set latch does not end the pause: other sessions set it for invalidations and dropped databases, and PostgreSQL
        // leaves it set after our own timeouts.
        if begun.elapsed() >= length {
            return true;
        }
        // If the check fails, perhaps because the extension is gone, the next step reports that.
        let look = || is_changed(place.run).or_raise();
        if without_cancellation(|| transaction(place.login.role, look)).unwrap_or(true) {
            return true;
        }
    }
}

/// Leaves the run to the other workers. The last one pauses it, so that it does not look active.
fn give_up(place: &Place, error: &str) -> Result<()> {
    let run = Run::lock(place.run)?;
    let is_last = presence::leave_last(run.id, place.slot);
    if is_last && run.status == Status::Running {
        let next = match run.role {
            Oid::INVALID => "its table is gone: call lockstep.cancel_backfill",
            _ => "see last_error, then call lockstep.resume_backfill",
        };
        let reason = format!("its workers failed {MOST_ERRORS} times in a row: {next}");
        return run.give_up(&reason, error);
    }
    Run::set_error(run.id, error)
}

fn log(place: &Place, failure: &Failure) {
    pgrx::log!("{}: {}", place.activity(), failure.message);
}
