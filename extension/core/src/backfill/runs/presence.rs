//! Who works on a run: locks held by the workers or the session, which end with their holder. The progress view reads them.
//!
//! A run is processed by its workers or by one session, never by both: workers share the session's lock.

use lockstep_server::is_statement_over;
use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys;
use std::cell::RefCell;

/// The progress view uses this number.
const PLACE: Kind = Kind(0x4c42);

/// A slot without a worker: whoever starts a run holds it until the transaction ends, and workers wait for it.
const STARTER: i32 = -1;

/// The slot of a session that runs a job by itself.
pub(super) const SESSION: i32 = 0;

const ALONE: u32 = pg_sys::ExclusiveLock;
const SHARED: u32 = pg_sys::ShareLock;

thread_local! {
    /// The runs that the current statement holds across its commits.
    static HELD: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Keeps workers waiting until the transaction ends, and waits for another transaction that does so.
pub(crate) fn hold_back_workers(run: i64) {
    lock::take(PLACE, run as u32, STARTER.cast_unsigned(), ALONE);
}

/// Takes a worker's slot for the life of the process; false if it is taken, or a session works on the run.
pub(super) fn try_join(run: i64, slot: i32) -> bool {
    try_keep(run, SESSION, SHARED) && try_keep(run, slot, ALONE)
}

/// Releases the slot of a worker that is about to end; true if nobody else works on the run and nobody can start before the
/// transaction ends. Of workers leaving at the same moment exactly one is the last, provided each has locked the run's row.
pub(super) fn leave_last(run: i64, slot: i32) -> bool {
    release(run, slot, ALONE);
    release(run, SESSION, SHARED);
    try_step_alone(run)
}

/// Takes the session's slot until [`leave`] or until the client's statement ends in any way: a call keeps it between its steps,
/// which are transactions. False if anybody works on the run.
pub(crate) fn try_work_alone(run: i64) -> bool {
    let is_mine = try_keep(run, SESSION, ALONE);
    if is_mine {
        HELD.with_borrow_mut(|held| held.push(run));
    }
    is_mine
}

/// The same until the transaction ends; also true for the session that already has the slot.
pub(crate) fn try_step_alone(run: i64) -> bool {
    lock::try_take(PLACE, run as u32, SESSION.cast_unsigned(), ALONE)
}

/// Releases the session's slot, if it has it.
pub(crate) fn leave(run: i64) {
    let was_held = HELD.with_borrow_mut(|held| {
        let place = held.iter().position(|other| *other == run);
        place.map(|place| held.swap_remove(place)).is_some()
    });
    if was_held {
        release(run, SESSION, ALONE);
    }
}

/// Releases what a finished statement held. A commit inside a call happens while the statement is still running.
pub(crate) fn end_of_transaction() {
    if is_statement_over() {
        for run in HELD.take() {
            release(run, SESSION, ALONE);
        }
    }
}

/// Takes the table lock that changing a run needs, if no conflicting lock is held.
pub(super) fn try_lock_runs() -> bool {
    lock::try_take_table(
        c"lockstep_internal",
        c"backfill_run",
        pg_sys::RowExclusiveLock,
    )
}

fn try_keep(run: i64, slot: i32, mode: u32) -> bool {
    lock::try_keep(PLACE, run as u32, slot.cast_unsigned(), mode)
}

fn release(run: i64, slot: i32, mode: u32) {
    lock::give_back(PLACE, run as u32, slot.cast_unsigned(), mode);
}
