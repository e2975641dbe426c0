//! What has to be done as a transaction or a savepoint ends, in this order whoever noted first.

#![allow(unsafe_code)]

use crate::error::{CacheColumnError, OrRaise, Result};
use crate::{cache_column, feature, slack_workspace};
use lockstep_server::levels::nesting;
use lockstep_server::waking;
use pgrx::pg_sys;

/// Registers the transaction callbacks, once for the life of the backend.
pub(crate) fn init() {
    // SAFETY: both callbacks are static functions of the signature PostgreSQL asks for, and never unregistered.
    unsafe {
        pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
        pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::*;
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => {
            // What it writes may be noted, and may wake somebody.
            slack_workspace::settle().or_raise();
            refuse_unflushed().or_raise();
            if event == XACT_EVENT_PRE_COMMIT {
                waking::before_commit();
            }
        }
        // Rust's heap outlives the transaction, so what an abort leaves has to be cleared here.
        XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE => {
            cache_column::roll_back_notes(0);
            slack_workspace::roll_back_notes(0);
            waking::roll_back(0);
        }
        _ => {}
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_subtransaction_end(
    event: pg_sys::SubXactEvent::Type,
    subtransaction: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::SubXactEvent::*;
    match event {
        SUBXACT_EVENT_ABORT_SUB => {
            cache_column::roll_back_notes(nesting());
            slack_workspace::roll_back_notes(nesting());
            waking::roll_back(subtransaction);
            feature::forget();
        }
        SUBXACT_EVENT_COMMIT_SUB => {
            cache_column::release_notes(nesting()).or_raise();
            slack_workspace::release_notes(nesting()).or_raise();
        }
        _ => {}
    }
}

/// The last line of defence: a transaction whose notes nobody flushed must not commit a wrong value.
fn refuse_unflushed() -> Result<()> {
    match cache_column::notes_left() + slack_workspace::notes_left() {
        0 => Ok(()),
        keys => Err(CacheColumnError::NotFlushed { keys }.into()),
    }
}
