//! Advisory locks of lockstep, held until the transaction ends unless noted.

#![allow(unsafe_code)]

use pgrx::pg_sys::{self, Oid};
use std::ffi::CStr;

/// The kind of a lock. It separates these locks from each other and from the application's advisory locks, whose last field is 1
/// or 2. Kinds start at `0x4c42`; each is defined where it is used.
#[derive(Clone, Copy)]
pub struct Kind(pub u16);

/// Waits for the lock.
pub fn take(kind: Kind, table: u32, number: u32, mode: u32) {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set, and the transaction lock is released at its end.
    unsafe {
        pg_sys::LockAcquire(&tag, mode as i32, false, false);
    }
}

/// Takes the lock unless another session holds it.
pub fn try_take(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: as above.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode as i32, false, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Whether no other session holds a conflicting lock.
pub fn is_free(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let is_free = try_take(kind, table, number, mode);
    if is_free {
        let tag = tag(kind, table, number);
        // SAFETY: releases the lock taken above.
        unsafe { pg_sys::LockRelease(&tag, mode as i32, false) };
    }
    is_free
}

/// Takes a session lock unless another session holds it; release it with [`give_back`].
pub fn try_keep(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set; this is a session lock.
    let result = unsafe { pg_sys::LockAcquire(&tag, mode as i32, true, true) };
    result != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
}

/// Takes a session lock; release it with [`give_back`].
pub fn keep(kind: Kind, table: u32, number: u32, mode: u32) {
    if !is_held(kind, table, number, mode) {
        let tag = tag(kind, table, number);
        // SAFETY: the tag is fully set; this is a session lock.
        unsafe { pg_sys::LockAcquire(&tag, mode as i32, true, false) };
    }
}

/// Releases a session lock if it is still held: `discard all` releases it too.
pub fn give_back(kind: Kind, table: u32, number: u32, mode: u32) {
    if is_held(kind, table, number, mode) {
        let tag = tag(kind, table, number);
        // SAFETY: the session holds the lock; if only the transaction does, this is just a warning.
        unsafe { pg_sys::LockRelease(&tag, mode as i32, true) };
    }
}

/// Locks a table of an extension, unless another session holds a conflicting lock.
pub fn try_take_table(schema: &CStr, table: &CStr, mode: u32) -> bool {
    // SAFETY: looks up names that outlive the calls, and takes a transaction lock.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let table = pg_sys::get_relname_relid(table.as_ptr(), schema);
        table != Oid::INVALID && pg_sys::ConditionalLockRelationOid(table, mode as i32)
    }
}

/// Whether another session waits for rows that this transaction, or its current subtransaction, has written or locked. After the
/// subtransaction has ended this cannot be seen: a waiter wakes up only to wait for the transaction.
pub fn is_waited_for() -> bool {
    // SAFETY: reads the transaction's ids.
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
            // SAFETY: a transaction with an id holds the exclusive lock on that id.
            unsafe { pg_sys::LockHasWaiters(&tag, pg_sys::ExclusiveLock as i32, false) }
        })
}

/// Whether the session or transaction already holds it in that mode.
pub fn is_held(kind: Kind, table: u32, number: u32, mode: u32) -> bool {
    let tag = tag(kind, table, number);
    // SAFETY: the tag is fully set; the function reads the backend's own lock table.
    unsafe {
        #[cfg(any(feature = "pg17", feature = "pg18"))]
        return pg_sys::LockHeldByMe(&tag, mode as i32, false);
        #[cfg(not(any(feature = "pg17", feature = "pg18")))]
        pg_sys::LockHeldByMe(&tag, mode as i32)
    }
}

fn tag(kind: Kind, table: u32, number: u32) -> pg_sys::LOCKTAG {
    pg_sys::LOCKTAG {
        // SAFETY: reads a process-wide variable.
        locktag_field1: unsafe { pg_sys::MyDatabaseId }.to_u32(),
        locktag_field2: table,
        locktag_field3: number,
        locktag_field4: kind.0,
        locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
        locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
    }
}
