//! Source rows whose target row does not exist yet, which is only possible without a foreign key.
//!
//! There is no row to lock, so two sessions could each miss what the other has not committed: one the new target, the other the
//! new source row. Locks on the keys close this gap; with a foreign key they are never taken.

use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys;

/// Keys of a target that have no row.
const ABSENCE: Kind = Kind(0x4c53);

/// Keys share this many locks, so that a statement on many rows does not fill the server's lock table.
const LOCKS: u32 = u128::BITS;

/// Taken by sessions that add target rows, until the end of the transaction. They do not block each other.
pub(super) fn announce_arrival(target: u32, keys: impl Iterator<Item = i64>) {
    lock(target, keys, pg_sys::RowExclusiveLock);
}

/// Taken by sessions that wrote source rows without a target: waits for sessions that are adding targets with these keys, and
/// blocks new ones until the end of the transaction.
pub(super) fn exclude_arrivals(target: u32, keys: impl Iterator<Item = i64>) {
    lock(target, keys, pg_sys::ShareLock);
}

fn lock(target: u32, keys: impl Iterator<Item = i64>, mode: u32) {
    let wanted = keys.fold(0_u128, |wanted, key| {
        wanted | 1 << key.rem_euclid(LOCKS.into())
    });
    // In a fixed order, so that two statements never deadlock.
    for number in (0..LOCKS).filter(|number| wanted >> number & 1 != 0) {
        lock::take(ABSENCE, target, number, mode);
    }
}
