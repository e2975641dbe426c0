//! Callbacks at the end of a transaction or savepoint, in a fixed order.

#![allow(unsafe_code)]

use crate::error::{OrRaise, Result};
use crate::levels::nesting;
use crate::waking;
use pgrx::pg_sys;
use std::sync::OnceLock;

pub struct AtEnd {
    /// Before the transaction commits or is prepared.
    pub settle: fn() -> Result<()>,
    /// Discards what was noted at this level of savepoints or deeper; at the end of the transaction, committed or not,
    /// everything.
    pub roll_back: fn(nesting: i32),
    /// Moves what was noted at this level to the enclosing one.
    pub release: fn(nesting: i32) -> Result<()>,
}

static AT_END: OnceLock<AtEnd> = OnceLock::new();

/// Called once per backend. With two libraries, the one loaded last settles first.
pub(crate) fn init(what: AtEnd) {
    if AT_END.set(what).is_ok() {
        // SAFETY: both callbacks are static functions with the signature that PostgreSQL expects, and are never unregistered.
        unsafe {
            pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut());
            pg_sys::RegisterSubXactCallback(Some(at_subtransaction_end), std::ptr::null_mut());
        }
    }
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(
    event: pg_sys::XactEvent::Type,
    _arg: *mut std::ffi::c_void,
) {
    use pg_sys::XactEvent::*;
    let Some(what) = AT_END.get() else { return };
    match event {
        XACT_EVENT_PRE_COMMIT | XACT_EVENT_PRE_PREPARE => {
            (what.settle)().or_raise();
            if event == XACT_EVENT_PRE_COMMIT {
                waking::before_commit();
            }
        }
        // Rust's heap outlives the transaction, so what an abort leaves behind must be cleared here.
        XACT_EVENT_ABORT | XACT_EVENT_COMMIT | XACT_EVENT_PREPARE => {
            (what.roll_back)(0);
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
    let Some(what) = AT_END.get() else { return };
    match event {
        SUBXACT_EVENT_ABORT_SUB => {
            (what.roll_back)(nesting());
            waking::roll_back(subtransaction);
        }
        SUBXACT_EVENT_COMMIT_SUB => (what.release)(nesting()).or_raise(),
        _ => {}
    }
}
