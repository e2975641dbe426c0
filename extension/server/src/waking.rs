//! Whoever waits for work says so, and whoever has some wakes him as he commits.
//!
//! NOTIFY takes a lock on all databases of the server until its transaction has committed, so that commits that notify form a line. So
//! none does unless somebody waits, and then one at a time. Who commits beside that one is not heard of, nor is who passed his look at
//! those who wait a moment before: they look again by themselves, a few milliseconds later at first and then ever more seldom.

use crate::OwnStatement;
use crate::error::Result;
use crate::levels::subtransaction;
use crate::lock::{self, Kind};
use crate::{datum, notify};
use pgrx::pg_sys::{self, SubTransactionId};
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// Kinds of work, each a bit. Jobs are told apart by their worker, so that those who run others are left alone.
#[derive(Clone, Copy, Debug)]
pub struct Work(u32);

impl Work {
    pub const JOBS: Self = Self(0xffff);
    pub const DELIVERIES: Self = Self(0x1_0000);

    pub fn of(worker: &str) -> Self {
        Self(1 << (crc32fast::hash(worker.as_bytes()) % Self::JOBS.0.count_ones()))
    }

    pub fn of_any(workers: &[String]) -> Self {
        Self(workers.iter().fold(0, |all, it| all | Self::of(it).0))
    }

    fn bits(self) -> impl Iterator<Item = u32> {
        (0..u32::BITS).filter(move |bit| self.0 & (1 << bit) != 0)
    }

    /// Who waits for it listens there. No payload, so that a transaction sends one notification for all that it has.
    fn channel(self) -> &'static str {
        match self.0 & Self::JOBS.0 {
            0 => "lockstep_delivery",
            _ => "lockstep_job",
        }
    }
}

thread_local! {
    /// What the transaction has, by the subtransaction that it comes from.
    static NOTED: RefCell<Vec<(SubTransactionId, u32)>> = const { RefCell::new(Vec::new()) };

    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static IS_LISTENING: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select from pg_listening_channels() c (name) where c.name = $1",
        &[pg_sys::TEXTOID],
    ));
}

/// There is such work as soon as the transaction has committed.
pub fn wake(work: Work) {
    let now = subtransaction();
    NOTED.with_borrow_mut(|noted| {
        let known = noted.iter().fold(0, |all, (_, work)| all | work);
        if known & work.0 != work.0 {
            noted.push((now, work.0));
        }
    });
}

/// The session waits for such work from now on, if it listens for it. Whoever looks for some after this misses little.
pub fn wait(work: Work) -> Result<bool> {
    let mut is_listening = false;
    IS_LISTENING
        .with(|statement| statement.rows(&[datum(work.channel())], |_| is_listening = true))?;
    if is_listening {
        for bit in work.bits() {
            lock::keep(Kind::Waiting, 0, bit, WAITING);
        }
    }
    Ok(is_listening)
}

/// The session no longer waits for any such work.
pub fn wait_no_more(work: Work) {
    for bit in work.bits() {
        lock::give_back(Kind::Waiting, 0, bit, WAITING);
    }
}

/// Those who wait share a lock with each other, and those who look at it share theirs.
const WAITING: u32 = pg_sys::RowExclusiveLock;
const LOOKING: u32 = pg_sys::ShareLock;

/// Wakes those who wait for what the transaction has.
pub fn before_commit() {
    let noted = NOTED
        .take()
        .into_iter()
        .fold(0, |all, (_, work)| all | work);
    for work in [Work::JOBS, Work::DELIVERIES] {
        let noted = Work(noted & work.0);
        let mut waited_for = noted.bits();
        let is_waited_for = waited_for.any(|bit| !lock::is_free(Kind::Waiting, 0, bit, LOOKING));
        if is_waited_for && lock::try_take(Kind::Waking, 0, work.0, pg_sys::ExclusiveLock) {
            notify(work.channel());
        }
    }
}

/// A subtransaction was rolled back, and with it all that began after it; the first of a transaction has the number 1.
pub fn roll_back(subtransaction: SubTransactionId) {
    NOTED.with_borrow_mut(|noted| noted.retain(|(from, _)| *from < subtransaction));
}
