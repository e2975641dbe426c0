//! Who works on a run: locks that whoever does holds, which the view of progress reads and which end with their holder.
//!
//! A run is worked on by its workers or by one session, never by both: workers share the place of the session.

use lockstep_server::is_statement_over;
use lockstep_server::lock::{self, Kind};
use pgrx::pg_sys;
use std::cell::RefCell;

/// The view of progress names the number.
const PLACE: Kind = Kind(0x4c42);

/// The slot that nobody works in: whoever starts a run holds it until his transaction ends, and workers wait for it.
const STARTER: i32 = -1;

/// The slot of a session that runs a job by itself.
pub(super) const SESSION: i32 = 0;

const ALONE: u32 = pg_sys::ExclusiveLock;
const SHARED: u32 = pg_sys::ShareLock;

thread_local! {
    /// The runs whose place the statement under way holds, over the commits that it makes.
    static HELD: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// Keeps workers waiting until the transaction ends; waits itself for whoever does so already.
pub(crate) fn hold_back_workers(run: i64) {
    lock::take(PLACE, run as u32, STARTER.cast_unsigned(), ALONE);
}

/// Takes the place of a worker as long as the process lives; false if somebody else has it, or a session works on the run.
pub(super) fn try_join(run: i64, slot: i32) -> bool {
    try_keep(run, SESSION, SHARED) && try_keep(run, slot, ALONE)
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
    let is_mine = try_keep(run, SESSION, ALONE);
    if is_mine {
        HELD.with_borrow_mut(|held| held.push(run));
    }
    is_mine
}

/// The same until the transaction ends, which is true also of the session that has the place already.
pub(crate) fn try_step_alone(run: i64) -> bool {
    lock::try_take(PLACE, run as u32, SESSION.cast_unsigned(), ALONE)
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

/// Gives back what a statement that is over held. A commit inside of a call comes while the statement is under way.
pub(crate) fn end_of_transaction() {
    if is_statement_over() {
        for run in HELD.take() {
            release(run, SESSION, ALONE);
        }
    }
}

/// Takes the lock that a change of a run needs on their table, if nobody holds one against it.
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
