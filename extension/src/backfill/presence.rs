//! Who works on a run: a lock that whoever does holds, which the view of progress reads and which ends with its holder.

#![allow(unsafe_code)]

use pgrx::pg_sys;

/// Sets these locks apart from the advisory locks of applications, whose fourth field is 1 or 2. The view names the number.
const LOCK_CLASS: u16 = 0x4c42;

/// The slot that nobody works in: whoever starts a run holds it until his transaction ends, and workers wait for it.
pub(super) const STARTER: i32 = -1;

/// The slot of a session that runs a job by itself.
pub(super) const SESSION: i32 = 0;

/// Takes the place of a worker until the transaction ends, or as long as the process lives; false if somebody else has it.
pub(super) fn try_take(run: i64, slot: i32, for_session: bool) -> bool {
    acquire(run, slot, for_session, true)
}

/// The same, but waits for whoever has it.
pub(super) fn take(run: i64, slot: i32) {
    acquire(run, slot, false, false);
}

fn acquire(run: i64, slot: i32, for_session: bool, no_wait: bool) -> bool {
    // SAFETY: the tag is fully set; a lock of the transaction is released at its end, one of the session with the process.
    unsafe {
        let tag = pg_sys::LOCKTAG {
            locktag_field1: pg_sys::MyDatabaseId.to_u32(),
            locktag_field2: run as u32,
            locktag_field3: slot.cast_unsigned(),
            locktag_field4: LOCK_CLASS,
            locktag_type: pg_sys::LockTagType::LOCKTAG_ADVISORY as u8,
            locktag_lockmethodid: pg_sys::USER_LOCKMETHOD as u8,
        };
        let mode = pg_sys::ExclusiveLock as i32;
        let answer = pg_sys::LockAcquire(&tag, mode, for_session, no_wait);
        answer != pg_sys::LockAcquireResult::LOCKACQUIRE_NOT_AVAIL
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
