//! The life of a background worker: who it is, what ends it, its transactions, what it shows of itself.

#![allow(unsafe_code)]

use crate::rights::{begin_session_of, for_whole_transaction};
use crate::{Failure, Statement, connected, datum, session_user, with_catalog_path, with_snapshot};
use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::CaughtError;
#[cfg(not(feature = "pg18"))]
use pgrx::pg_sys::pqsignal;
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::{PgTryBuilder, pg_guard};
// Its name in the server since 18.
#[cfg(feature = "pg18")]
use pgrx::pg_sys::pqsignal_be as pqsignal;
use std::ffi::{CStr, CString};
use std::panic::AssertUnwindSafe;
use std::sync::OnceLock;
use std::time::Duration;

/// What a worker logs in as. It is the role's for the rest of its life; one that cannot log in, it takes on as its first deed.
#[derive(Clone, Copy)]
pub struct Login {
    pub database: Oid,
    pub role: Oid,
    pub logs_in: bool,
}

/// Lets a role log in that may not as a client. Since 17.
#[cfg(any(feature = "pg17", feature = "pg18"))]
const LOGIN_FLAGS: u32 = pg_sys::BGWORKER_BYPASS_ROLELOGINCHECK;
#[cfg(not(any(feature = "pg17", feature = "pg18")))]
const LOGIN_FLAGS: u32 = 0;

impl Login {
    /// Of a worker of this database. One whose role something keeps out of it logs in as nobody.
    pub fn here(role: Oid) -> Self {
        let query = Statement::new(
            "select '' from pg_roles r, pg_database d
              where r.oid = $1 and (r.rolcanlogin or $2) and r.rolconnlimit < 0
                and d.datname = current_database() and d.datconnlimit < 0 and has_database_privilege(r.oid, d.oid, 'connect')",
            &[pg_sys::OIDOID, pg_sys::BOOLOID],
        );
        let arguments = [datum(role), datum(LOGIN_FLAGS != 0)];
        Self {
            // SAFETY: reads a value of the session.
            database: unsafe { pg_sys::MyDatabaseId },
            role,
            logs_in: with_catalog_path(|| connected(|| query.text(&arguments))).is_some(),
        }
    }
}

// PostgreSQL's own handlers of signals.
unsafe extern "C-unwind" {
    fn die(signal: i32);
    fn SignalHandlerForConfigReload(signal: i32);
}

/// Begins the life of a worker: signals are let through, and it becomes the role. Whatever it does afterwards is restricted
/// ([`transaction`]): there is no way back.
pub fn begin(login: Login) {
    // SAFETY: called once, at the start of the process, before signals are let through.
    unsafe {
        pg_sys::on_proc_exit(Some(exit_for_good), Datum::from(0));
        // PostgreSQL's own handlers: a query ends at once, not when it next returns to us.
        pqsignal(pg_sys::SIGTERM as i32, Some(die));
        pqsignal(pg_sys::SIGHUP as i32, Some(SignalHandlerForConfigReload));
        pg_sys::BackgroundWorkerUnblockSignals();
    }
    let (role, flags) = match login.logs_in {
        true => (login.role, LOGIN_FLAGS),
        false => (Oid::INVALID, 0),
    };
    // SAFETY: called once; whatever keeps the worker out ends the process.
    unsafe { pg_sys::BackgroundWorkerInitializeConnectionByOid(login.database, role, flags) };
    if !login.logs_in {
        let nobody = session_user();
        // SAFETY: looks up the role, in a transaction.
        let is_superuser = transaction(nobody, || unsafe { pg_sys::superuser_arg(login.role) });
        begin_session_of(login.role, is_superuser.unwrap_or(false));
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

static IF_ENDED: OnceLock<fn()> = OnceLock::new();

/// What is done if the worker is ended from outside: by pg_terminate_backend, or as the server stops. It must not wait, as nothing could
/// interrupt it. Of two calls in a process the first counts.
pub fn if_ended(deed: fn()) {
    if IF_ENDED.set(deed).is_ok() {
        // SAFETY: called once; the callback comes before those that InitPostgres has registered, so it may still run transactions.
        unsafe { pg_sys::before_shmem_exit(Some(end), Datum::from(0)) };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn end(code: i32, _argument: Datum) {
    if let Some(deed) = IF_ENDED.get().filter(|_| code != 0) {
        // SAFETY: as PostgreSQL itself does where it removes temporary tables at the end of a process.
        unsafe { pg_sys::AbortOutOfAnyTransaction() };
        deed();
    }
}

/// Runs `work` in a transaction of its own, restricted to the role up to and with the commit. An error rolls it back and is answered,
/// but for those that end the process.
pub fn transaction<R>(role: Oid, work: impl FnOnce() -> R) -> Result<R, Failure> {
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

/// Ignores pg_cancel_backend and time-outs, which come in the same way.
pub fn without_cancellation<R>(work: impl FnOnce() -> R) -> R {
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

/// Waits so long at most; any signal ends it. False if the postmaster is gone: also without a wait, or a worker that outlives the
/// postmaster would go on, and keep a new one from starting meanwhile.
pub fn wait(length: Duration) -> bool {
    // Rounded up, as PostgreSQL counts milliseconds and the last one would be spent asking over and over.
    let length = Duration::from_millis(length.as_micros().div_ceil(1_000) as u64);
    without_cancellation(|| {
        let goes_on = BackgroundWorker::wait_latch(Some(length));
        // A shutdown may end the process here, outside of a transaction.
        pgrx::check_for_interrupts!();
        goes_on
    })
}

/// Takes in a changed configuration, as sessions do between statements.
pub fn reload() {
    // SAFETY: the flag is set by the handler of SIGHUP.
    unsafe {
        if pg_sys::ConfigReloadPending != 0 {
            pg_sys::ConfigReloadPending = 0;
            pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP);
        }
    }
}

/// Counts what the last transaction did in the server's statistics.
pub fn report_statistics() {
    // SAFETY: outside of a transaction, as PostgreSQL asks for.
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
