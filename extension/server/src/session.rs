//! The session and its transaction.

#![allow(unsafe_code)]

use crate::planner::{end_settings, set_for_now};
use pgrx::IntoDatum;
use pgrx::pg_sys;
use std::ffi::CStr;

/// Whether the statement that called us runs inside BEGIN ... COMMIT.
pub fn is_in_transaction_block() -> bool {
    // SAFETY: reads the state of the transaction.
    unsafe { pg_sys::IsTransactionBlock() }
}

/// Whether no statement of the client is under way, as where its transaction ends after it; within a call, one does.
pub fn is_statement_over() -> bool {
    // SAFETY: reads a value of the session.
    unsafe { pg_sys::ActivePortal.is_null() }
}

/// Whether what the transaction reads must be noted, as others may depend on it.
pub fn is_serializable() -> bool {
    // SAFETY: reads the isolation level of the transaction.
    unsafe { pg_sys::XactIsoLevel as u32 == pg_sys::XACT_SERIALIZABLE }
}

/// How many triggers are running, each within the one before.
pub fn trigger_depth() -> i32 {
    // SAFETY: the function takes nothing and answers an integer.
    let depth = unsafe { pgrx::direct_function_call::<i32>(pg_sys::pg_trigger_depth, &[]) };
    depth.unwrap_or_default()
}

/// Runs `work` with settings of its own. An abort restores the former ones by itself.
pub fn with_settings<R>(settings: &[(&CStr, &CStr)], work: impl FnOnce() -> R) -> R {
    let level = set_for_now(settings);
    let result = work();
    end_settings(level);
    result
}

/// Whether a setting has that value, as current_setting shows it.
pub fn is_set_to(name: &CStr, value: &CStr) -> bool {
    // SAFETY: the name outlives the call, which answers with a palloc'd text, or null for a setting that does not exist.
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

/// Runs `work` so that all that it reads as [`View::Caller`](super::View::Caller) is of one moment, now.
pub fn with_new_snapshot<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: the snapshot that is pushed is popped, here or by the abort of the (sub)transaction.
    unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetLatestSnapshot()) };
    let result = work();
    // SAFETY: as above; `work` leaves none of its own.
    unsafe { pg_sys::PopActiveSnapshot() };
    result
}

/// Runs `work` under a search path that nobody but a superuser can write to, for queries on the catalogs. What is planned there is not
/// compiled: where a way of joining is switched off, a plan that takes it nonetheless counts as one that costs more than anything.
pub fn with_catalog_path<R>(work: impl FnOnce() -> R) -> R {
    with_settings(
        &[(c"search_path", c"pg_catalog, pg_temp"), (c"jit", c"off")],
        work,
    )
}

/// Tells whoever listens to a channel, once the transaction has committed.
pub fn notify(channel: &str) {
    // SAFETY: the function takes two texts and answers nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(
            pg_sys::pg_notify,
            &[channel.into_datum(), "".into_datum()],
        );
    }
}

/// Waits; a cancellation ends it.
pub fn sleep(milliseconds: i32) {
    let seconds = f64::from(milliseconds) / 1000.0;
    // SAFETY: the function takes one double precision and answers nothing.
    unsafe {
        pgrx::direct_function_call_as_datum(pg_sys::pg_sleep, &[seconds.into_datum()]);
    }
}

/// A random number from 0 up to but not including 1, of the session's own series.
pub fn random() -> f64 {
    // SAFETY: the function takes nothing and answers a double precision.
    let number = unsafe { pgrx::direct_function_call::<f64>(pg_sys::drandom, &[]) };
    number.unwrap_or_default()
}

/// Bytes that nobody can guess; none if the server has no source of them.
pub fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    // SAFETY: the buffer has the length that is named.
    let is_filled = unsafe { pg_sys::pg_strong_random(bytes.as_mut_ptr().cast(), N) };
    is_filled.then_some(bytes)
}

/// Keeps the library from ever looking where it is, which pgrx would add to the DETAIL of each error. The standard library reads the
/// environment once; it is left as it was, since it is not ours alone.
pub(crate) fn forgo_backtraces() {
    const NAMES: [&str; 2] = ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"];
    let found = NAMES.map(|name| (name, std::env::var_os(name)));
    // SAFETY: a process of the server has one thread, and this one is loading the library.
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

/// Loads another library into the backend, unless it is there already.
pub fn load(library: &CStr) {
    // SAFETY: the name outlives the call, which raises an error if there is no such library.
    unsafe { pg_sys::load_file(library.as_ptr(), false) };
}
