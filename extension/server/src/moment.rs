//! Which state of the database a statement sees.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// Tells two states of the database apart: what is read under equal ones is the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    snapshot: [pg_sys::TransactionId; 2],
    running: u32,
    command: u32,
    transaction: pg_sys::TransactionId,
}

impl Moment {
    /// That of the statement that called us, which writes. Snapshots of the same limits and as many running transactions see
    /// the same commits, since a transaction that ends leaves the count or moves the upper limit. What the transaction itself
    /// wrote is told by its number, which PREPARE TRANSACTION takes away without moving a limit, and by the command: a statement
    /// that writes has one of its own, whether it writes anything, and no rollback to a savepoint gives it to another.
    pub fn of_caller() -> Option<Self> {
        // SAFETY: reads the active snapshot, if there is one, and counters of the transaction.
        unsafe {
            if !pg_sys::ActiveSnapshotSet() {
                return None;
            }
            let snapshot = &*pg_sys::GetActiveSnapshot();
            // On a standby a snapshot does not count the transactions that run.
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
