//! Unique keys of jobs that wait again.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, attempt_catching, keys_argument, with_settings};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

/// Not as long as a deadlock takes to be noticed: whoever enqueues a job with the key may wait for us.
const PATIENCE: &CStr = c"100ms";

kept! {
    static TAKE: OwnStatement = OwnStatement::by_index(
        "update lockstep_internal.job j set holds_key = true
          where j.id = any ($1) and j.status = 'waiting' and j.unique_key is not null and not j.holds_key
            and not exists (select from lockstep_internal.job o
                             where o.unique_worker = j.unique_worker and o.unique_key = j.unique_key and o.holds_key and o.status <> 'dead')",
        &[pg_sys::INT8ARRAYOID],
        &["id", "unique_worker"],
    );
}

/// Jobs that were given back take their keys again, unless others have them by now: a job that is enqueued with the key of one that
/// waits is one too many.
pub(super) fn take_again(jobs: &[i64]) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    with_settings(&[(c"lock_timeout", PATIENCE)], || {
        TAKE.with(|take| each_if_free(jobs, take)).map(|_| ())
    })
}

/// Runs a statement that takes the keys of these jobs, in order; returns for how many. Another session may be enqueuing a job with
/// the key of one, which shows only when it commits: then that one is left out.
pub(super) fn each_if_free(jobs: &[i64], statement: &OwnStatement) -> Result<u64> {
    let run = || statement.run(&[keys_argument(jobs)]);
    let done = attempt_catching(
        |code| {
            matches!(
                code,
                PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION
                    | PgSqlErrorCode::ERRCODE_LOCK_NOT_AVAILABLE
            )
        },
        AssertUnwindSafe(run),
    );
    match (done, jobs.len()) {
        (Ok(done), _) => done,
        (Err(_), 0 | 1) => Ok(0),
        (Err(_), count) => {
            let (first, second) = jobs.split_at(count / 2);
            Ok(each_if_free(first, statement)? + each_if_free(second, statement)?)
        }
    }
}
