//! A time limit for background workers, where PostgreSQL does not start one by itself.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// PostgreSQL's statement timeout; it has had this number since version 9.3.
const STATEMENT_TIMEOUT: u32 = 3;

// They raise no error, so nothing unwinds through them.
unsafe extern "C" {
    fn enable_timeout_after(id: u32, delay_ms: i32);
    fn disable_timeout(id: u32, keep_indicator: bool);
}

/// Runs `work` and cancels it after `ms` milliseconds; 0 means no limit.
pub fn within<R>(ms: i32, work: impl FnOnce() -> R) -> R {
    if ms == 0 {
        return work();
    }
    let _deadline = Deadline::begin(ms);
    work()
}

struct Deadline;

impl Deadline {
    fn begin(ms: i32) -> Self {
        // SAFETY: InitPostgres has registered the timeout in every process that is connected to a database.
        unsafe { enable_timeout_after(STATEMENT_TIMEOUT, ms) };
        Self
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // SAFETY: as above. A cancellation that arrived too late must not hit the next statement.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            pg_sys::QueryCancelPending = 0;
        }
    }
}
