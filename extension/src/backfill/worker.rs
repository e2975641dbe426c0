//! Background workers: started with a run, no more than its number, gone when it is over.
//!
//! PostgreSQL starts a worker again if the server recovers from a crash. One that ends in any other way, be it that somebody
//! terminated it, stays away: its run keeps its place, and `resume_backfill` starts workers anew. One whose steps keep failing outside
//! of the job leaves as well, and the last to do so pauses the run.

#![allow(unsafe_code)]

use super::presence;
use super::run::{Run, Status};
use super::step::{LOOK_EVERY_MS, Next, Worker, is_changed, step};
use crate::error::{BackfillError, OrRaise, Result};
use crate::server::{Failure, session_user};
use pgrx::PgTryBuilder;
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::pg_sys::panic::CaughtError;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
// Its name in the server since 18.
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use std::ffi::CString;
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// After a crash, PostgreSQL starts workers again as soon as it has recovered; the number only has to be there.
const RESTART: Duration = Duration::from_secs(1);

/// So many steps may fail in a row, outside of the job: deadlocks with a session that changes the run, for example.
const MOST_ERRORS: u32 = 5;
const WAIT_AFTER_ERROR_MS: i32 = 1_000;

/// What a worker is told when it is started.
struct Place {
    database: Oid,
    session_role: Oid,
    role: Oid,
    run: i64,
    slot: i32,
}

impl Place {
    fn text(&self) -> String {
        let Self {
            database,
            session_role,
            role,
            run,
            slot,
        } = self;
        format!(
            "{} {} {} {run} {slot}",
            database.to_u32(),
            session_role.to_u32(),
            role.to_u32()
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut oid = || words.next()?.parse::<u32>().ok().map(Oid::from);
        let (database, session_role, role) = (oid()?, oid()?, oid()?);
        Some(Self {
            database,
            session_role,
            role,
            run: words.next()?.parse().ok()?,
            slot: words.next()?.parse().ok()?,
        })
    }
}

/// Starts workers in these slots of a run; one whose slot is taken ends at once.
/// They work as `role`, whoever starts them.
pub(super) fn launch(run: i64, job: &str, role: Oid, slots: RangeInclusive<i32>) -> Result<()> {
    let wanted = slots.clone().count();
    for (started, slot) in slots.enumerate() {
        let place = Place {
            // SAFETY: reads a value of the session.
            database: unsafe { pg_sys::MyDatabaseId },
            session_role: session_user(),
            role,
            run,
            slot,
        };
        BackgroundWorkerBuilder::new(&format!("lockstep: {job}, run {run}, worker {slot}"))
            .set_type("lockstep backfill")
            .set_library("lockstep")
            .set_function("lockstep_backfill_worker")
            .set_extra(&place.text())
            .set_restart_time(Some(RESTART))
            .enable_spi_access()
            .load_dynamic()
            .map_err(|_| BackfillError::NoWorkerLeft { started, wanted })?;
    }
    Ok(())
}

// PostgreSQL's own handlers of signals.
unsafe extern "C-unwind" {
    fn die(signal: i32);
    fn SignalHandlerForConfigReload(signal: i32);
}

/// Where a background worker begins.
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn lockstep_backfill_worker(_argument: Datum) {
    let Some(place) = Place::parse(BackgroundWorker::get_extra()) else {
        return;
    };
    // SAFETY: called once, at the start of the process, before signals are let through.
    unsafe {
        pg_sys::on_proc_exit(Some(exit_for_good), Datum::from(0));
        // PostgreSQL's own handlers: a query ends at once, not when it next returns to us.
        pqsignal(pg_sys::SIGTERM as i32, Some(die));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
    BackgroundWorker::connect_worker_to_spi_by_oid(Some(place.database), Some(place.session_role));
    if let Err(failure) = transaction(|| prepare(&place)) {
        log(&place, &failure);
        return;
    }
    work(&place);
}

/// Leaves with the status that tells PostgreSQL not to start the worker again, however it came to leave: where its database is
/// dropped, it could not even connect. A crash ends the process without passing here.
#[pg_guard]
unsafe extern "C-unwind" fn exit_for_good(code: i32, _argument: Datum) {
    if code != 0 {
        // SAFETY: PostgreSQL provides for callbacks that exit themselves: it goes on with those that are left.
        unsafe { pg_sys::proc_exit(0) };
    }
}

fn prepare(place: &Place) {
    // The place in the run and the rows change in one transaction, so one that is lost in a crash is done again.
    for setting in [
        "set synchronous_commit = off",
        "set default_transaction_isolation = 'read committed'",
        "set idle_in_transaction_session_timeout = 0",
    ] {
        set(setting);
    }
    if place.role != place.session_role {
        let role = role_name(place.role);
        set(&format!("set role {}", pgrx::spi::quote_identifier(role)));
    }
    // Until the transaction that started the run has ended.
    presence::hold_back_workers(place.run);
}

fn set(statement: &str) {
    crate::host::run(statement).or_raise();
}

fn role_name(role: Oid) -> String {
    // SAFETY: answers with a palloc'd string, or raises that there is no such role.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, false);
        std::ffi::CStr::from_ptr(name)
            .to_string_lossy()
            .into_owned()
    }
}

fn work(place: &Place) {
    let joins = || presence::try_join(place.run, place.slot);
    if !transaction(joins).unwrap_or(false) {
        return;
    }
    let mut errors = 0;
    loop {
        reload();
        report(Some(place));
        let worker = Worker::Background { slot: place.slot };
        let next = transaction(|| step(place.run, worker).or_raise());
        // SAFETY: outside of a transaction, as PostgreSQL asks for.
        unsafe { pg_sys::pgstat_report_stat(false) };
        let wait = match next {
            Ok(Next::StepAfter(ms)) => {
                errors = 0;
                ms
            }
            Ok(Next::Stop) => return,
            Err(failure) => {
                errors += 1;
                log(place, &failure);
                let noted = transaction(|| {
                    match errors {
                        MOST_ERRORS => give_up(place, &failure.message),
                        _ => Run::set_error(place.run, &failure.message),
                    }
                    .or_raise();
                });
                // If not even that can be done, the extension is gone.
                if errors == MOST_ERRORS || noted.is_err() {
                    return;
                }
                WAIT_AFTER_ERROR_MS
            }
        };
        if wait > 0 {
            report(None);
        }
        if !pause(
            place.run,
            Duration::from_millis(wait.cast_unsigned().into()),
        ) {
            return;
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(LOOK_EVERY_MS as u64);

/// Waits as long as it is told to, or until the run is paused, cancelled or altered; false if the postmaster is gone. That is asked
/// also without a pause: a worker that outlives the postmaster has nothing to wait on, so it would go through the rest of the table
/// without pauses and holds, and keep a new postmaster from starting meanwhile.
fn pause(run: i64, length: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let rest = length.saturating_sub(begun.elapsed()).min(LOOK_EVERY);
        // Rounded up, as PostgreSQL counts milliseconds and the last one would be spent asking over and over.
        let rest = Duration::from_millis(rest.as_micros().div_ceil(1_000) as u64);
        if !BackgroundWorker::wait_latch(Some(rest)) {
            return false;
        }
        // A shutdown may end the process here, outside of a transaction.
        pg_sys::check_for_interrupts!();
        // That the latch was set does not end the pause. Any session does it that lets others know of changed tables or of a dropped
        // database; and so does an alarm of ours: PostgreSQL leaves it set when a time-out is no longer needed.
        if begun.elapsed() >= length {
            return true;
        }
        // That it cannot look, since the extension is gone perhaps, is for the next step to say.
        if transaction(|| is_changed(run).or_raise()).unwrap_or(true) {
            return true;
        }
    }
}

/// Leaves the run to the other workers. The last one pauses it, so that nobody takes it for one that is being done.
fn give_up(place: &Place, error: &str) -> Result<()> {
    let run = Run::lock(place.run)?;
    let is_last = presence::leave_last(run.id, place.slot);
    if is_last && run.status == Status::Running {
        return run.give_up(
            &format!("its workers failed {MOST_ERRORS} times in a row: see last_error, then call lockstep.resume_backfill"),
            error,
        );
    }
    Run::set_error(run.id, error)
}

/// Takes in a changed configuration, as sessions do between statements.
fn reload() {
    // SAFETY: the flag is set by the handler of SIGHUP.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Shows in pg_stat_activity what the worker does.
fn report(working: Option<&Place>) {
    let (state, text) = match working {
        Some(place) => (
            pg_sys::BackendState::STATE_RUNNING,
            format!(
                "lockstep: backfill run {}, worker {}",
                place.run, place.slot
            ),
        ),
        None => (pg_sys::BackendState::STATE_IDLE, String::new()),
    };
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the text is copied.
    unsafe { pg_sys::pgstat_report_activity(state, text.as_ptr()) };
}

fn log(place: &Place, failure: &Failure) {
    pgrx::log!(
        "lockstep: backfill run {}, worker {}: {}",
        place.run,
        place.slot,
        failure.message
    );
}

/// Runs `work` in a transaction of its own. An error rolls it back and is answered, but for those that end the process.
fn transaction<R>(work: impl FnOnce() -> R) -> Result<R, Failure> {
    let whole = AssertUnwindSafe(|| {
        // SAFETY: no transaction is under way; the snapshot is the active one until it ends.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
            pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        }
        let result = work();
        // SAFETY: ends what was begun above.
        unsafe {
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        result
    });
    let result: Result<R, Box<CaughtError>> = PgTryBuilder::new(move || Ok({ whole }.0()))
        .catch_others(|cause| Err(Box::new(cause)))
        .execute();
    result.map_err(|cause| {
        // SAFETY: the error has been taken off PostgreSQL's stack; what the transaction held is given back here.
        unsafe { pg_sys::AbortCurrentTransaction() };
        match *cause {
            CaughtError::PostgresError(report)
            | CaughtError::ErrorReport(report)
            | CaughtError::RustPanic {
                ereport: report, ..
            } => Failure {
                code: report.sql_error_code(),
                message: report.message().to_owned(),
                detail: report.detail().map(str::to_owned),
            },
        }
    })
}
