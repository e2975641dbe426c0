//! Source rows whose target row does not exist yet, which only the lack of a foreign key allows.
//!
//! There is no row to lock then, so two sessions could each miss what the other has not committed: one the new
//! target, the other the new source row. Locks on the keys close the gap; with a foreign key they are never taken.

use super::keeper::Keys;
use crate::lock::{self, Kind};
use pgrx::pg_sys;
use std::collections::BTreeSet;

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
        lock::take(Kind::Absence, target, number as u32, mode);
    }
}
