//! A time limit where PostgreSQL starts none by itself: in a background worker.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// PostgreSQL's own time-out of a statement, by the number it has had since version 9.3.
const STATEMENT_TIMEOUT: u32 = 3;

// They raise no error, so nothing unwinds through them.
unsafe extern "C" {
    fn enable_timeout_after(id: u32, delay_ms: i32);
    fn disable_timeout(id: u32, keep_indicator: bool);
}

/// Runs `work`; what is still running after so many milliseconds is cancelled. 0 sets no limit.
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
        // SAFETY: InitPostgres has registered the time-out in every process that is connected to a database.
        unsafe { enable_timeout_after(STATEMENT_TIMEOUT, ms) };
        Self
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        // SAFETY: as above; a cancellation that came too late to interrupt the work must not hit what comes after it.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            pg_sys::QueryCancelPending = 0;
        }
    }
}
