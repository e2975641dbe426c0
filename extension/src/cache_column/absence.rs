//! Source rows whose target row does not exist yet, which only the lack of a foreign key allows.
//!
//! There is no row to lock then, so two sessions could each miss what the other has not committed: one the new
//! target, the other the new source row. Locks on the keys close the gap; with a foreign key they are never taken.

#![allow(unsafe_code)]

use super::keeper::Keys;
use pgrx::pg_sys;
use std::collections::BTreeSet;

/// Sets these locks apart from the advisory locks of applications, whose fourth field is 1 or 2.
const LOCK_CLASS: u16 = 0x4c53;

/// Keys share this many locks, so that a statement on any number of rows does not fill the server's table of locks.
const LOCKS: i64 = 128;

/// For whoever adds target rows; until the end of the transaction. Sessions that add targets do not hinder each other.
pub(super) fn announce_arrival(target: u32, keys: &Keys) {
    lock(target, keys, pg_sys::RowExclusiveLock);
}

/// For whoever wrote source rows without a target: waits for those who add targets of these keys now, and keeps others from
/// adding any until the end of the transaction.
pub(super) fn exclude_arrivals(target: u32, keys: &Keys) {
    lock(target, keys, pg_sys::ShareLock);
}

fn lock(target: u32, keys: &Keys, mode: u32) {
    // In one order, so that two statements never wait for each other.
    let numbers: BTreeSet<i64> = keys
        .as_slice()
        .iter()
        .map(|key| key.rem_euclid(LOCKS))
        .collect();
    for number in numbers {
        // SAFETY: the tag is fully set, and the lock is one of the transaction, released at its end.
        unsafe {
            let tag = pg_sys::LOCKTAG {
                locktag_field1: pg_sys::MyDatabaseId.to_u32(),
                locktag_field2: target,
                locktag_field3: number as u32,
                locktag_field4: LOCK_CLASS,
                locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
                locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
            };
            pg_sys::LockAcquire(&tag, mode as i32, false, false);
        }
    }
}
