//! The session and its transaction.

#![allow(unsafe_code)]

use crate::planner::{end_settings, set_for_now};
use pgrx::IntoDatum;
use pgrx::pg_sys;
use std::ffi::CStr;
use std::time::Duration;

/// Whether the calling statement runs inside BEGIN ... COMMIT.
pub fn is_in_transaction_block() -> bool {
    // SAFETY: reads the transaction's state.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Whether no client statement is running, as when its transaction ends after it. During a call, one is.
pub fn is_statement_over() -> bool {
    // SAFETY: reads a session variable.
    unsafe { pg_sys::ActivePortal.is_null() }
}

/// Whether reads must be recorded, because other transactions may depend on them.
pub fn is_serializable() -> bool {
    // SAFETY: reads the transaction's isolation level.
    unsafe { pg_sys::XactIsoLevel as u32 == pg_sys::XACT_SERIALIZABLE }
}

/// Whether each statement sees what has been committed by its start.
pub fn is_read_committed() -> bool {
    // SAFETY: reads the transaction's isolation level.
    unsafe { (pg_sys::XactIsoLevel as u32) < pg_sys::XACT_REPEATABLE_READ }
}

/// The number of the current transaction, if it has one because it has written something.
pub fn current_transaction() -> Option<u64> {
    // SAFETY: reads the transaction's state.
    let number = unsafe { pg_sys::GetTopFullTransactionIdIfAny() }.value;
    (number != 0).then_some(number)
}

/// Whether a transaction that this session has just ended, or is in, has been committed.
pub fn has_committed(transaction: u64) -> bool {
    // SAFETY: the commit log keeps recent transactions. The lower half of the number is the one that is stored.
    unsafe { pg_sys::TransactionIdDidCommit((transaction as u32).into()) }
}

/// How many triggers are running, each inside the previous one.
pub fn trigger_depth() -> i32 {
    // SAFETY: the function takes no argument and returns an integer.
    let depth = unsafe { pgrx::direct_function_call::<i32>(pg_sys::pg_trigger_depth, &[]) };
    depth.unwrap_or_default()
}

/// Runs `work` with these settings. An abort restores the previous ones by itself.
pub fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    let level = set_for_now(settings);
    let result = work();
    end_settings(level);
    result
}

/// Whether a setting has that value, as current_setting shows it.
pub fn is_set_to(name: &CStr, value: &CStr) -> bool {
    // SAFETY: the name outlives the call, which returns a palloc'd text, or null for an unknown setting.
    unsafe {
        let current = pg_sys::GetConfigOptionByName(name.as_ptr(), std::ptr::null_mut(), true);
        if current.is_null() {
            return false;
        }
        let is_equal = CStr::from_ptr(current) == value;
        pg_sys::pfree(current.cast());
        is_equal
    }
}

/// How long a statement waits for a lock at most, if that is limited.
pub fn lock_timeout() -> Option<Duration> {
    // SAFETY: the setting is an integer, which only this thread changes.
    let milliseconds = unsafe { pg_sys::LockTimeout };
    let milliseconds = u64::try_from(milliseconds).ok().filter(|it| *it > 0);
    milliseconds.map(Duration::from_millis)
}

/// Makes the changes of the current command visible to its own reads of catalogs.
pub(crate) fn see_own_changes() {
    // SAFETY: the command counter may be incremented wherever a statement could run; in parallel mode nothing may be changed.
    unsafe {
        if !pg_sys::IsInParallelMode() {
            pg_sys::CommandCounterIncrement();
        }
    }
}

/// Runs `work` so that all its reads as [`View::Caller`](super::View::Caller) see the database as of now.
pub fn with_new_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the snapshot that is pushed is popped, here or by the abort of the (sub)transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let result = work();
    // SAFETY: as above; `work` leaves no snapshot of its own.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// Runs `work` under a search path that only a superuser can write to, for catalog queries. JIT is off: when a join method is
/// disabled, a plan that uses it anyway has an extreme cost and would be compiled.
pub fn with_catalog_path<R>(work: impl FnOnce() -> R) -> R {
    with_settings(
        &[(c"search_path", c"pg_catalog, pg_temp"), (c"jit", c"off")],
        work,
    )
}

/// Notifies listeners on a channel once the transaction has committed.
pub fn notify(channel: &str) {
    // SAFETY: the function takes two texts and returns nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(
            pg_sys::pg_notify,
            &[channel.into_datum(), "".into_datum()],
        );
    }
}

/// Sleeps; a cancellation ends it.
pub fn sleep(milliseconds: i32) {
    let seconds = f64::from(milliseconds) / 1000.0;
    // SAFETY: the function takes one double precision and returns nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::pg_sleep, &[seconds.into_datum()]);
    }
}

/// A random number in [0, 1) from the session's own generator.
pub fn random() -> f64 {
    // SAFETY: the function takes no argument and returns a double precision.
    let number = unsafe { pgrx::direct_function_call::<f64>(pg_sys::drandom, &[]) };
    number.unwrap_or_default()
}

/// Cryptographically random bytes; None if the server has no source of them.
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the buffer has the given length.
    let is_filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    is_filled.then_some(bytes)
}

/// Disables backtraces, which pgrx would add to the DETAIL of every error. The standard library reads the environment once;
/// afterwards the variable is restored, because it is not ours alone.
pub(crate) fn forgo_backtraces() {
    const NAMES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];
    let found = NAMES.map(|name| (name, std::env::var_os(name)));
    // SAFETY: a server process has one thread, which is loading this library.
    unsafe {
        found
            .iter()
            .for_each(|(name, _)| std::env::remove_var(name));
        drop(std::backtrace::Backtrace::capture());
        for (name, value) in &found {
            if let Some(value) = value {
                std::env::set_var(name, value);
            }
        }
    }
}

/// Loads another library into the backend, unless it is already loaded.
pub fn load(library: &CStr) {
    // SAFETY: the name outlives the call, which raises an error if the library does not exist.
    unsafe { pg_sys::load_file(library.as_ptr(), false) };
}

/// How many pages of tables and indexes the session has read so far.
pub fn pages_read() -> i64 {
    // SAFETY: reads counters that only this process writes.
    unsafe { pg_sys::pgBufferUsage.shared_blks_hit + pg_sys::pgBufferUsage.shared_blks_read }
}
