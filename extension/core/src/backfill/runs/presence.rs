//! Who works on a run: locks that whoever does holds, which the view of progress reads and which end with their holder.
//!
//! A run is worked on by its workers or by one session, never by both: workers share the place of the session.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};
use std::cell::RefCell;
use std::ffi::c_void;

/// Sets these locks apart from the advisory locks of applications, whose fourth field is 1 or 2. The view names the number.
const LOCK_CLASS: u16 = 0x4c42;

/// The slot that nobody works in: whoever starts a run holds it until his transaction ends, and workers wait for it.
const STARTER: i32 = -1;

/// The slot of a session that runs a job by itself.
pub(super) const SESSION: i32 = 0;

const ALONE: pg_sys::LOCKMODE = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
const SHARED: pg_sys::LOCKMODE = pg_sys::ShareLock as pg_sys::LOCKMODE;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    EndOfTransaction,
    Released,
}

thread_local! {
    /// The runs whose place the statement under way holds, over the commits that it makes.
    static HELD: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Keeps workers waiting until the transaction ends; waits itself for whoever does so already.
pub(crate) fn hold_back_workers(run: i64) {
    acquire(run, STARTER, ALONE, Until::EndOfTransaction, false);
}

/// Takes the place of a worker as long as the process lives; false if somebody else has it, or a session works on the run.
pub(super) fn try_join(run: i64, slot: i32) -> bool {
    acquire(run, SESSION, SHARED, Until::Released, true)
        && acquire(run, slot, ALONE, Until::Released, true)
}

/// Gives the place of a worker back, which ends then; true if nobody else works on the run, nor can begin to before the transaction
/// ends. Of workers that leave at the same moment one is the last if each holds the row of the run.
pub(super) fn leave_last(run: i64, slot: i32) -> bool {
    release(run, slot, ALONE);
    release(run, SESSION, SHARED);
    try_step_alone(run)
}

/// Takes the place of the session until [`leave`], or until the statement that the client sent ends, in whatever way: a call
/// keeps it between its steps, which are transactions. False if anybody works on the run.
pub(crate) fn try_work_alone(run: i64) -> bool {
    let is_mine = acquire(run, SESSION, ALONE, Until::Released, true);
    if is_mine {
        HELD.with_borrow_mut(|held| held.push(run));
    }
    is_mine
}

/// The same until the transaction ends, which is true also of the session that has the place already.
pub(crate) fn try_step_alone(run: i64) -> bool {
    acquire(run, SESSION, ALONE, Until::EndOfTransaction, true)
}

/// Gives the place of the session back, if it has it.
pub(crate) fn leave(run: i64) {
    let was_held = HELD.with_borrow_mut(|held| {
        let place = held.iter().position(|other| *other == run);
        place.map(|place| held.swap_remove(place)).is_some()
    });
    if was_held {
        release(run, SESSION, ALONE);
    }
}

fn acquire(run: i64, slot: i32, mode: pg_sys::LOCKMODE, until: Until, no_wait: bool) -> bool {
    let tag = tag(run, slot);
    // SAFETY: the tag is fully set; a lock of the transaction is released at its end, one of the session with the process at the
    // latest.
    let answer = unsafe { pg_sys::LockAcquire(&tag, mode, until == Until::Released, no_wait) };
    answer != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

fn release(run: i64, slot: i32, mode: pg_sys::LOCKMODE) {
    let tag = tag(run, slot);
    // SAFETY: the tag is fully set; a lock that is not held is no more than a warning.
    unsafe { pg_sys::LockRelease(&tag, mode, true) };
}

fn tag(run: i64, slot: i32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: reads a value of the session.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: run as u32,
        locktag_field3: slot.cast_unsigned(),
        locktag_field4: LOCK_CLASS,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}

/// Keeps the extension from being dropped until the transaction ends; comes before any of its tables. A drop takes the extension
/// first as well, and then its tables in an order of its own: of the two one could have a table that the other waits for.
pub(crate) fn keep_extension() {
    // SAFETY: looks a name up and takes a lock of the transaction. It is taken by OID, so that of an extension that is gone by
    // then does no harm: the next statement finds no tables.
    unsafe {
        let extension = pg_sys::get_extension_oid(c"lockstep".as_ptr(), true);
        if extension != Oid::INVALID {
            let shared = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
            pg_sys::LockDatabaseObject(pg_sys::ExtensionRelationId, extension, 0, shared);
        }
    }
}

/// Takes the lock that a change of a run needs on their table, if nobody holds one against it.
pub(super) fn try_lock_runs() -> bool {
    let mode = pg_sys::RowExclusiveLock as pg_sys::LOCKMODE;
    // SAFETY: looks names up, and takes a lock of the transaction. The table is named by the extension itself.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"lockstep".as_ptr(), true);
        let table = pg_sys::get_relname_relid(c"backfill_run".as_ptr(), schema);
        table != Oid::INVALID && pg_sys::ConditionalLockRelationOid(table, mode)
    }
}

/// Registers the transaction callback, once for the life of the backend.
pub(crate) fn init() {
    // SAFETY: the callback is a static function of the signature PostgreSQL asks for, and never unregistered.
    unsafe { pg_sys::RegisterXactCallback(Some(at_transaction_end), std::ptr::null_mut()) };
}

#[pgrx::pg_guard]
unsafe extern "C-unwind" fn at_transaction_end(event: pg_sys::XactEvent::Type, _arg: *mut c_void) {
    use pg_sys::XactEvent::*;
    // A commit inside of a call happens while the portal of the call is active; that of the client's statement comes after it. An
    // abort is the end of a call.
    let is_over = match event {
        // SAFETY: reads a value of the session.
        XACT_EVENT_COMMIT => unsafe { pg_sys::ActivePortal.is_null() },
        XACT_EVENT_ABORT => true,
        _ => false,
    };
    if is_over {
        for run in HELD.take() {
            release(run, SESSION, ALONE);
        }
    }
}

/// Whether another session waits for rows that this transaction, or the subtransaction it is in, has written or locked. Once the
/// subtransaction has ended it cannot tell: who waited for that wakes up only to wait for the transaction.
pub(super) fn is_waited_for() -> bool {
    // SAFETY: reads the numbers of the transaction.
    let transactions = unsafe {
        [
            pg_sys::GetCurrentTransactionIdIfAny(),
            pg_sys::GetTopTransactionIdIfAny(),
        ]
    };
    transactions
        .into_iter()
        .filter(|transaction| *transaction != pg_sys::TransactionId::INVALID)
        .any(|transaction| {
            let tag = pg_sys::LOCKTAG {
                locktag_field1: transaction.into_inner(),
                locktag_field2: 0,
                locktag_field3: 0,
                locktag_field4: 0,
                locktag_type: pg_sys::LockTagType::LOCKTAG_TRANSACTION as u8,
                locktag_lockmethodid: pg_sys::DEFAULT_LOCKMETHOD as u8,
            };
            // SAFETY: a transaction that has a number holds the lock of that number exclusively.
            unsafe { pg_sys::LockHasWaiters(&tag, pg_sys::ExclusiveLock as i32, false) }
        })
}
