//! PostgreSQL errors that do not end the transaction.

#![allow(unsafe_code)]

use pgrx::PgSqlErrorCode::{self, ERRCODE_ADMIN_SHUTDOWN, ERRCODE_QUERY_CANCELED};
use pgrx::PgTryBuilder;
use pgrx::pg_sys;
use pgrx::pg_sys::panic::CaughtError;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr;

/// A PostgreSQL error that was caught.
pub struct Failure {
    pub code: PgSqlErrorCode,
    pub message: String,
    pub detail: Option<String>,
}

/// Runs `work` in a subtransaction, so that a PostgreSQL error leaves nothing behind. Errors that do not come from the data (a
/// cancelled statement, a shutdown) are raised again.
pub fn attempt<R>(work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe) -> Result<R, Failure> {
    attempt_catching(
        |code| !matches!(code, ERRCODE_QUERY_CANCELED | ERRCODE_ADMIN_SHUTDOWN),
        work,
    )
}

/// Like [`attempt`], with a choice of the errors to catch.
pub fn attempt_catching<R>(
    catches: impl Fn(PgSqlErrorCode) -> bool,
    work: impl FnOnce() -> R + UnwindSafe + RefUnwindSafe,
) -> Result<R, Failure> {
    // SAFETY: the subtransaction started here ends below on both paths, and memory context and resource owner are restored, as
    // PostgreSQL's own procedural languages do.
    unsafe {
        let context = pg_sys::CurrentMemoryContext;
        let owner = pg_sys::CurrentResourceOwner;
        pg_sys::BeginInternalSubTransaction(ptr::null());
        pg_sys::MemoryContextSwitchTo(context);
        let result = PgTryBuilder::new(move || Ok::<R, Box<CaughtError>>(work()))
            .catch_others(|cause| Err(Box::new(cause)))
            .execute();
        match &result {
            Ok(_) => pg_sys::ReleaseCurrentSubTransaction(),
            Err(_) => pg_sys::RollbackAndReleaseCurrentSubTransaction(),
        }
        pg_sys::MemoryContextSwitchTo(context);
        pg_sys::CurrentResourceOwner = owner;
        result.map_err(|cause| match *cause {
            CaughtError::PostgresError(report) | CaughtError::ErrorReport(report)
                if catches(report.sql_error_code()) =>
            {
                Failure {
                    code: report.sql_error_code(),
                    message: report.message().to_owned(),
                    detail: report.detail().map(str::to_owned),
                }
            }
            other => other.rethrow(),
        })
    }
}
