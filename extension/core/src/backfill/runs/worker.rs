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
use lockstep_server::{
    Failure, Statement, begin_session_of, connected, datum, for_whole_transaction, session_user,
    with_catalog_path, with_snapshot,
};
use pgrx::PgSqlErrorCode::{ERRCODE_INVALID_SCHEMA_NAME, ERRCODE_UNDEFINED_TABLE};
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
use std::cell::Cell;
use std::ffi::CString;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// After a crash, PostgreSQL starts workers again as soon as it has recovered; the number only has to be there.
const RESTART: Duration = Duration::from_secs(1);

/// So many steps may fail in a row, outside of the job: deadlocks with a session that changes the run, for example.
const MOST_ERRORS: u32 = 5;
const WAIT_AFTER_ERROR_MS: i32 = 1_000;

/// What a worker is told when it is started.
#[derive(Clone, Copy)]
struct Place {
    database: Oid,
    role: Oid,
    /// Whether it can log in as the role.
    logs_in: bool,
    run: i64,
    slot: i32,
}

impl Place {
    fn text(&self) -> String {
        format!(
            "{} {} {} {} {}",
            self.database.to_u32(),
            self.role.to_u32(),
            self.logs_in,
            self.run,
            self.slot
        )
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut oid = || words.next()?.parse::<u32>().ok().map(Oid::from);
        let (database, role) = (oid()?, oid()?);
        Some(Self {
            database,
            role,
            logs_in: words.next()?.parse().ok()?,
            run: words.next()?.parse().ok()?,
            slot: words.next()?.parse().ok()?,
        })
    }
}

/// Lets a role log in that may not as a client. Since 17.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const LOGIN_FLAGS: u32 = pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK;
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
const LOGIN_FLAGS: u32 = 0;

/// Starts workers of a run, as the owner of its table; one whose slot is taken ends at once.
pub(crate) fn launch(run: &Run, workers: i32) -> Result<()> {
    let logs_in = can_log_in(run.role);
    for slot in 1..=workers {
        let place = Place {
            // SAFETY: reads a value of the session.
            database: unsafe { pg_sys::MyDatabaseId },
            role: run.role,
            logs_in,
            run: run.id,
            slot,
        };
        let name = format!("lockstep: {}, run {}, worker {slot}", run.job, run.id);
        BackgroundWorkerBuilder::new(&name)
            .set_type("lockstep backfill")
            .set_library("lockstep")
            .set_function("lockstep_backfill_worker")
            .set_extra(&place.text())
            .set_restart_time(Some(RESTART))
            .enable_spi_access()
            .load_dynamic()
            .map_err(|_| BackfillError::NoWorkerLeft {
                started: slot - 1,
                wanted: workers,
            })?;
    }
    Ok(())
}

/// Whether nothing keeps the role from logging in to this database. The worker of one that is kept out logs in as nobody.
fn can_log_in(role: Oid) -> bool {
    let query = Statement::new(
        "select '' from pg_roles r, pg_database d
          where r.oid = $1 and (r.rolcanlogin or $2) and r.rolconnlimit < 0
            and d.datname = current_database() and d.datconnlimit < 0 and has_database_privilege(r.oid, d.oid, 'connect')",
        &[pg_sys::OIDOID, pg_sys::BOOLOID],
    );
    let arguments = [datum(role), datum(LOGIN_FLAGS != 0)];
    with_catalog_path(|| connected(|| query.text(&arguments))).is_some()
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
    log_in(&place);
    match without_cancellation(|| transaction(place.role, || prepare(&place))) {
        Ok(true) => {}
        // Somebody else has the place.
        Ok(false) => return,
        Err(failure) => {
            log(&place, &failure);
            let _ = transaction(place.role, || Run::set_error(place.run, &failure.message));
            return;
        }
    }
    PLACE.set(Some(place));
    // SAFETY: called once; the callback comes before those that InitPostgres has registered, so it may still run transactions.
    unsafe { pg_sys::before_shmem_exit(Some(tell_of_end), Datum::from(0)) };
    work(&place);
    PLACE.set(None);
}

thread_local! {
    /// The place that this process works in.
    static PLACE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Becomes the role for the rest of its life. One that cannot log in, it takes on as its first deed. Whatever it does afterwards is
/// restricted ([`transaction`]): there is no way back either way.
fn log_in(place: &Place) {
    let (role, flags) = match place.logs_in {
        true => (place.role, LOGIN_FLAGS),
        false => (Oid::INVALID, 0),
    };
    // SAFETY: called once; whatever keeps the worker out ends the process.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(place.database, role, flags) };
    if !place.logs_in {
        let nobody = session_user();
        // SAFETY: looks up the role, in a transaction.
        let is_superuser = transaction(nobody, || unsafe { pg_sys::superuser_arg(place.role) });
        begin_session_of(place.role, is_superuser.unwrap_or(false));
    }
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

/// Says why the run has no worker any more, if this was the last one and is ended from outside: by pg_terminate_backend, or as the server
/// stops. Nothing here waits, as nothing could interrupt it.
#[pg_guard]
unsafe extern "C-unwind" fn tell_of_end(code: i32, _argument: Datum) {
    let Some(place) = PLACE.take().filter(|_| code != 0) else {
        return;
    };
    // SAFETY: as PostgreSQL itself does where it removes temporary tables at the end of a process.
    unsafe { pg_sys::AbortOutOfAnyTransaction() };
    let _ = transaction(place.role, || {
        if presence::leave_last(place.run, place.slot) && presence::try_lock_runs() {
            return Run::set_error_at_once(place.run, "its last worker was terminated");
        }
        Ok(())
    });
}

/// Answers whether it has the place.
fn prepare(place: &Place) -> bool {
    // The place in the run and the rows change in one transaction, so one that is lost in a crash is done again.
    for setting in [
        "set synchronous_commit = off",
        "set default_transaction_isolation = 'read committed'",
        "set default_transaction_read_only = off",
        "set idle_in_transaction_session_timeout = 0",
        // A sub-batch has its own; what is the run's is locked for a moment.
        "set lock_timeout = 0",
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        "set transaction_timeout = 0",
    ] {
        lockstep_server::host::run(setting).or_raise();
    }
    // Until the transaction that started the run has ended.
    presence::hold_back_workers(place.run);
    presence::try_join(place.run, place.slot)
}

fn work(place: &Place) {
    let mut errors = 0;
    loop {
        reload();
        report(Some(place));
        let worker = Worker::Background {
            slot: place.slot,
            role: place.role,
        };
        let next = transaction(place.role, || step(place.run, worker).or_raise());
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
                let note = || {
                    match errors {
                        MOST_ERRORS => give_up(place, &failure.message),
                        _ => Run::set_error(place.run, &failure.message),
                    }
                    .or_raise();
                };
                let noted = without_cancellation(|| transaction(place.role, note));
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
        if wait > 0 {
            report(None);
        }
        if !pause(place, Duration::from_millis(wait.cast_unsigned().into())) {
            return;
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(LOOK_EVERY_MS as u64);

/// Waits as long as it is told to, or until the run is paused, cancelled or altered; false if the postmaster is gone. That is asked
/// also without a pause: a worker that outlives the postmaster has nothing to wait on, so it would go through the rest of the table
/// without pauses and holds, and keep a new postmaster from starting meanwhile.
fn pause(place: &Place, length: Duration) -> bool {
    let begun = Instant::now();
    loop {
        let rest = length.saturating_sub(begun.elapsed()).min(LOOK_EVERY);
        // Rounded up, as PostgreSQL counts milliseconds and the last one would be spent asking over and over.
        let rest = Duration::from_millis(rest.as_micros().div_ceil(1_000) as u64);
        let goes_on = without_cancellation(|| {
            let goes_on = BackgroundWorker::wait_latch(Some(rest));
            // A shutdown may end the process here, outside of a transaction.
            pg_sys::check_for_interrupts!();
            goes_on
        });
        if !goes_on {
            return false;
        }
        // That the latch was set does not end the pause. Any session does it that lets others know of changed tables or of a dropped
        // database; and so does an alarm of ours: PostgreSQL leaves it set when a time-out is no longer needed.
        if begun.elapsed() >= length {
            return true;
        }
        // That it cannot look, since the extension is gone perhaps, is for the next step to say.
        let look = || is_changed(place.run).or_raise();
        if without_cancellation(|| transaction(place.role, look)).unwrap_or(true) {
            return true;
        }
    }
}

/// Ignores pg_cancel_backend, which is for sub-batches, and time-outs, which come in the same way.
fn without_cancellation<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: counts of this process, as PostgreSQL's own HOLD_CANCEL_INTERRUPTS has them; an error that is caught in `work` has set the
    // count to 0 already.
    unsafe {
        pg_sys::QueryCancelHoldoffCount = 1;
        let result = work();
        pg_sys::QueryCancelPending = 0;
        pg_sys::QueryCancelHoldoffCount = 0;
        result
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

/// Runs `work` in a transaction of its own, restricted to the role up to and with the commit. An error rolls it back and is answered,
/// but for those that end the process.
fn transaction<R>(role: Oid, work: impl FnOnce() -> R) -> Result<R, Failure> {
    let whole = AssertUnwindSafe(|| {
        // SAFETY: no transaction is under way.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
        }
        for_whole_transaction(role, || {
            let result = with_snapshot(work);
            // SAFETY: ends what was begun above.
            unsafe { pg_sys::CommitTransactionCommand() };
            result
        })
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
