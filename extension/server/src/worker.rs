//! The life of a background worker: its role, its transactions, what it reports, and how it ends.

#![allow(unsafe_code)]

use crate::rights::{begin_session_of, for_whole_transaction};
use crate::{Failure, Statement, connected, datum, session_user, with_catalog_path, with_snapshot};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::CaughtError;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgTryBuilder, pg_guard};
// Its name in the server since PostgreSQL 18.
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::time::Duration;

/// What a worker logs in as. It keeps this role for life; if the role cannot log in, the worker switches to it first.
#[derive(Clone, Copy)]
pub struct Login {
    pub database: Oid,
    pub role: Oid,
    pub logs_in: bool,
}

/// Allows a role that cannot log in as a client. Since PostgreSQL 17.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const LOGIN_FLAGS: u32 = pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK;
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
const LOGIN_FLAGS: u32 = 0;

impl Login {
    /// A worker of this database. If its role cannot log in, it connects without one.
    pub fn here(role: Oid) -> Self {
        let query = Statement::new(
            "select '' from pg_roles r, pg_database d
              where r.oid = $1 and (r.rolcanlogin or $2) and r.rolconnlimit < 0
                and d.datname = current_database() and d.datconnlimit < 0 and has_database_privilege(r.oid, d.oid, 'connect')",
            &[pg_sys::OIDOID, pg_sys::BOOLOID],
        );
        let arguments = [datum(role), datum(LOGIN_FLAGS != 0)];
        Self {
            // SAFETY: reads a session variable.
            database: unsafe { pg_sys::MyDatabaseId },
            role,
            logs_in: with_catalog_path(|| connected(|| query.text(&arguments))).is_some(),
        }
    }
}

// PostgreSQL's own signal handlers.
unsafe extern "C-unwind" {
    fn die(signal: i32);
    fn SignalHandlerForConfigReload(signal: i32);
}

/// Starts a worker: unblocks signals and switches to the role. Everything it does later is restricted ([`transaction`]); it
/// cannot switch back.
pub fn begin(login: Login) {
    end_for_good();
    handle_signals();
    let (role, flags) = match login.logs_in {
        true => (login.role, LOGIN_FLAGS),
        false => (Oid::INVALID, 0),
    };
    // SAFETY: called once; if the worker cannot connect, the process ends.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(login.database, role, flags) };
    if !login.logs_in {
        let nobody = session_user();
        // SAFETY: looks up the role, in a transaction.
        let is_superuser = transaction(nobody, || unsafe { pg_sys::superuser_arg(login.role) });
        begin_session_of(login.role, is_superuser.unwrap_or(false));
    }
}

/// Takes signals with PostgreSQL's own handlers, so that a query ends at once, not when it next returns to us.
pub(crate) fn handle_signals() {
    // SAFETY: called once, when the process starts, before signals are unblocked.
    unsafe {
        pqsignal(pg_sys::SIGTERM as i32, Some(die));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
}

/// However the worker ends, except by a crash, PostgreSQL does not start it again.
pub(crate) fn end_for_good() {
    // SAFETY: called once, when the process starts.
    unsafe { pg_sys::on_proc_exit(Some(exit_for_good), Datum::from(0)) };
}

/// Exits with the status that tells PostgreSQL not to restart the worker, whatever the reason: if its database is dropped, it
/// could not even connect. A crash does not pass through here.
#[pg_guard]
unsafe extern "C-unwind" fn exit_for_good(code: i32, _argument: Datum) {
    if code != 0 {
        // SAFETY: PostgreSQL allows callbacks that exit: it continues with the remaining ones.
        unsafe { pg_sys::proc_exit(0) };
    }
}

static IF_ENDED: OnceLock<fn()> = OnceLock::new();

/// Registers what to do if the worker is ended from outside, by pg_terminate_backend or a server shutdown. It must not wait,
/// because nothing could interrupt it. Only the first call in a process counts.
pub fn if_ended(deed: fn()) {
    if IF_ENDED.set(deed).is_ok() {
        // SAFETY: called once; the callback runs before those of InitPostgres, so it may still run transactions.
        unsafe { pg_sys::before_shmem_exit(Some(end), Datum::from(0)) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(code: i32, _argument: Datum) {
    if let Some(deed) = IF_ENDED.get().filter(|_| code != 0) {
        // SAFETY: as PostgreSQL itself does before it removes temporary tables at process exit.
        unsafe { pg_sys::AbortOutOfAnyTransaction() };
        deed();
    }
}

/// Runs `work` in its own transaction, restricted to the role until after the commit. An error rolls it back and is returned,
/// unless it ends the process.
pub fn transaction<R>(role: Oid, work: impl FnOnce() -> R) -> Result<R, Failure> {
    let whole = AssertUnwindSafe(|| {
        // SAFETY: no transaction is open.
        unsafe {
            pg_sys::SetCurrentStatementStartTimestamp();
            pg_sys::StartTransactionCommand();
        }
        for_whole_transaction(role, || {
            let result = with_snapshot(work);
            // SAFETY: ends the transaction started above.
            unsafe { pg_sys::CommitTransactionCommand() };
            result
        })
    });
    let result: Result<R, Box<CaughtError>> = PgTryBuilder::new(move || Ok({ whole }.0()))
        .catch_others(|cause| Err(Box::new(cause)))
        .execute();
    result.map_err(|cause| {
        // SAFETY: the error has been taken off PostgreSQL's stack; the abort releases what the transaction held.
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

/// Ignores pg_cancel_backend and timeouts, which use the same signal.
pub fn without_cancellation<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: a counter of this process, used as in PostgreSQL's HOLD_CANCEL_INTERRUPTS; an error caught in `work` has already
    // reset it to 0.
    unsafe {
        pg_sys::QueryCancelHoldoffCount = 1;
        let result = work();
        pg_sys::QueryCancelPending = 0;
        pg_sys::QueryCancelHoldoffCount = 0;
        result
    }
}

/// Waits at most this long; any signal ends the wait. Returns false if the postmaster is gone, even without waiting: otherwise
/// the worker would outlive it and prevent a new one from starting.
pub fn wait(length: Duration) -> bool {
    // Rounded up: PostgreSQL counts whole milliseconds, and the last fraction would be spent in a busy loop.
    let length = Duration::from_millis(length.as_micros().div_ceil(1_000) as u64);
    without_cancellation(|| {
        let goes_on = BackgroundWorker::wait_latch(Some(length));
        // A shutdown may end the process here, outside a transaction.
        pgrx::check_for_interrupts!();
        goes_on
    })
}

/// The number of this process.
pub fn this_process() -> i32 {
    // SAFETY: reads a variable of the process.
    unsafe { pg_sys::MyProcPid }
}

/// Reloads the configuration if it changed, as sessions do between statements.
pub fn reload() {
    // SAFETY: the SIGHUP handler sets the flag.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Reports the last transaction to the server's statistics.
pub fn report_statistics() {
    // SAFETY: called outside a transaction, as PostgreSQL requires.
    unsafe { pg_sys::pgstat_report_stat(false) };
}

/// Shows in pg_stat_activity what the worker does.
pub fn report_activity(doing: &str) {
    report(pg_sys::BackendState::STATE_RUNNING, doing);
}

/// Shows there that the worker waits, and until when.
pub fn report_pause(doing: &str, length: Duration) {
    let length = i64::try_from(length.as_micros()).unwrap_or(i64::MAX);
    // SAFETY: the function answers a text in memory of its own, which is read before it is called again.
    let until = unsafe {
        let until = pg_sys::GetCurrentTimestamp().saturating_add(length);
        CStr::from_ptr(pg_sys::timestamptz_to_str(until))
    };
    let until = until.to_string_lossy();
    report(
        pg_sys::BackendState::STATE_IDLE,
        &format!("{doing}: pausing until {until}"),
    );
}

fn report(state: pg_sys::BackendState::Type, text: &str) {
    let text = CString::new(text).unwrap_or_default();
    // SAFETY: the text is copied.
    unsafe { pg_sys::pgstat_report_activity(state, text.as_ptr()) };
}
