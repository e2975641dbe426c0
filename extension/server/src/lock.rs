//! Locks of lockstep's own, held until the transaction ends unless said otherwise.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// What a lock is about. It sets these locks apart from the advisory locks of applications, whose last field is 1 or 2, and from each
/// other: `0x4c42` and on, those of an extension where it takes them.
#[derive(Clone, Copy)]
pub struct Kind(pub u16);

/// Waits for the lock.
pub fn take(kind: Kind, table: u32, number: u32, mode: u32) {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set, and the lock is one of the transaction, released at its end.
    unsafe {
        pg_sys::LockAcquire(&tag, mode as i32, false, false);
    }
}

/// Takes the lock, unless somebody has it.
pub fn try_take(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: as above.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Whether nobody else has the lock in a mode that is in the way of this one.
pub fn is_free(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let is_free = try_take(kind, table, number, mode);
    if is_free {
        let tag = tag(kind, table, number);
        // SAFETY: gives back what was taken just now.
        unsafe { pg_sys::LockRelease(&tag, mode as i32, false) };
    }
    is_free
}

/// Takes the lock for the session, until it is given back, unless somebody else has it.
pub fn try_keep(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set, and the lock is one of the session.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode as i32, true, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Takes the lock for the session, until it is given back.
pub fn keep(kind: Kind, table: u32, number: u32, mode: u32) {
    if !is_held(kind, table, number, mode) {
        let tag = tag(kind, table, number);
        // SAFETY: the tag is fully set, and the lock is one of the session.
        unsafe { pg_sys::LockAcquire(&tag, mode as i32, true, false) };
    }
}

/// Gives back what the session has kept, if it has: `discard all` gives back as well.
pub fn give_back(kind: Kind, table: u32, number: u32, mode: u32) {
    if is_held(kind, table, number, mode) {
        let tag = tag(kind, table, number);
        // SAFETY: the session has the lock, or the transaction does, and then this is no more than a warning.
        unsafe { pg_sys::LockRelease(&tag, mode as i32, true) };
    }
}

/// Takes the lock of that mode on a table of an extension, unless somebody holds one against it.
pub fn try_take_table(schema: &CStr, table: &CStr, mode: u32) -> bool {
    // SAFETY: looks names up, which outlive the calls, and takes a lock of the transaction.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let table = pg_sys::get_relname_relid(table.as_ptr(), schema);
        table != Oid::INVALID && pg_sys::ConditionalLockRelationOid(table, mode as i32)
    }
}

/// Whether another session waits for rows that this transaction, or the subtransaction it is in, has written or locked. Once the
/// subtransaction has ended it cannot tell: who waited for that wakes up only to wait for the transaction.
pub fn is_waited_for() -> bool {
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

/// Whether the session or the transaction has it already, in that mode.
pub fn is_held(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set; the function looks into the memory of the backend.
    unsafe {
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        return pg_sys::LockHeldByMe(&tag, mode as i32, false);
        #[cfg(not(any(feature = "pg17", feature = "pg18")))]
        pg_sys::LockHeldByMe(&tag, mode as i32)
    }
}

fn tag(kind: Kind, table: u32, number: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: reads a global of the process.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: table,
        locktag_field3: number,
        locktag_field4: kind.0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}
