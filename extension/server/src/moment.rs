//! Which state of the database a statement sees.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// Identifies a state of the database: reads at equal moments return the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    snapshot: [pg_sys::TransactionId; 2],
    running: u32,
    command: u32,
    transaction: pg_sys::TransactionId,
}

impl Moment {
    /// The moment of the calling statement, which writes. Snapshots with the same limits and the same number of running
    /// transactions see the same commits, because a transaction that ends changes the count or moves the upper limit. The
    /// transaction's own writes are identified by its id, which PREPARE TRANSACTION removes without moving a limit, and by the
    /// command id: each writing statement has its own, even if it writes nothing, and a rollback to a savepoint does not reuse
    /// it.
    pub fn of_caller() -> Option<Self> {
        // SAFETY: reads the active snapshot, if there is one, and counters of the transaction.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            // On a standby a snapshot does not count running transactions.
            if snapshot.takenDuringRecovery {
                return None;
            }
            Some(Self {
                snapshot: [snapshot.xmin, snapshot.xmax],
                running: snapshot.xcnt,
                command: snapshot.curcid,
                transaction: pg_sys::GetTopTransactionIdIfAny(),
            })
        }
    }
}
