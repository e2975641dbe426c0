//! Workers that wait for work announce it, and a transaction that has work wakes them when it commits.
//!
//! NOTIFY takes a lock across all databases of the server until its transaction has committed, so notifying commits queue up
//! behind each other. So a transaction notifies only if somebody waits, and only one at a time does. A commit next to that one is
//! not announced, nor is one that checked for waiters a moment too early. So waiters also poll: after a few milliseconds at
//! first, then less and less often.

use crate::error::Result;
use crate::levels::subtransaction;
use crate::lock::{self, Kind};
use crate::{OwnStatement, datum, notify};
use pgrx::pg_sys::{self, SubTransactionId};
use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;

/// Held by sessions that wait for this kind of work, and by a transaction that wakes them.
const WAITED_FOR: Kind = Kind(0x4c58);
const WOKEN: Kind = Kind(0x4c59);

/// Kinds of work on one channel, one bit each, so that sessions waiting for other kinds are not woken. No two channels share a
/// bit.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    kinds: u32,
    /// Waiting sessions listen here. There is no payload, so that a transaction sends a single notification for all its work.
    channel: &'static str,
}

impl Work {
    pub const fn new(channel: &'static str, kinds: u32) -> Self {
        Self { kinds, channel }
    }

    /// The kind of work with that name.
    pub fn named(self, name: &str) -> Self {
        let kind = crc32fast::hash(name.as_bytes()) % self.kinds.count_ones();
        let kinds = self.kinds().nth(kind as usize);
        Self::new(self.channel, kinds.map_or(0, |kind| 1 << kind))
    }

    /// The kinds of work with these names.
    pub fn named_any(self, names: &[String]) -> Self {
        let all = names.iter().map(|name| self.named(name).kinds);
        Self::new(self.channel, all.fold(0, |all, it| all | it))
    }

    fn kinds(self) -> impl Iterator<Item = u32> {
        (0..u32::BITS).filter(move |kind| self.kinds & (1 << kind) != 0)
    }
}

thread_local! {
    /// The transaction's work, by the subtransaction that added it.
    static NOTED: RefCell<Vec<(SubTransactionId, Work)>> = const { RefCell::new(Vec::new()) };

    /// This session is among those to notify.
    static IS_FOR_EVERYBODY: Cell<bool> = const { Cell::new(false) };

    // Never dropped: when the process ends, the memory of its plans may already be gone.
    static IS_LISTENING: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select from pg_listening_channels() c (name) where c.name = $1",
        &[pg_sys::TEXTOID],
    ));
}

/// Announces work that exists once the transaction has committed.
pub fn wake(work: Work) {
    let now = subtransaction();
    NOTED.with_borrow_mut(|noted| {
        let known = noted.iter().fold(0, |all, (_, noted)| all | noted.kinds);
        if known & work.kinds != work.kinds {
            noted.push((now, work));
        }
    });
}

/// The same, and this session is notified as well if it listens.
pub fn wake_everybody(work: Work) {
    IS_FOR_EVERYBODY.set(true);
    wake(work);
}

/// The session waits for this work from now on, if it listens. Look for work after this call: then little is missed.
pub fn wait(work: Work) -> Result<bool> {
    let mut is_listening = false;
    IS_LISTENING
        .with(|statement| statement.rows(&[datum(work.channel)], |_| is_listening = true))?;
    if is_listening {
        for kind in work.kinds() {
            lock::keep(WAITED_FOR, 0, kind, WAITING);
        }
    }
    Ok(is_listening)
}

/// The session no longer waits for this work.
pub fn wait_no_more(work: Work) {
    for kind in work.kinds() {
        lock::give_back(WAITED_FOR, 0, kind, WAITING);
    }
}

/// Waiters share this lock with each other; transactions that check for waiters share theirs.
const WAITING: u32 = pg_sys::RowExclusiveLock;
const LOOKING: u32 = pg_sys::ShareLock;

/// Wakes the sessions that wait for the transaction's work.
pub fn before_commit() {
    let noted = NOTED.take();
    let is_for_everybody = IS_FOR_EVERYBODY.take();
    let mut channels: Vec<Work> = Vec::new();
    for (_, work) in noted {
        match channels.iter_mut().find(|it| it.channel == work.channel) {
            Some(channel) => channel.kinds |= work.kinds,
            None => channels.push(work),
        }
    }
    for work in channels {
        let mut kinds = work.kinds();
        let is_waited_for =
            is_for_everybody || kinds.any(|kind| !lock::is_free(WAITED_FOR, 0, kind, LOOKING));
        if is_waited_for && lock::try_take(WOKEN, 0, work.kinds, pg_sys::ExclusiveLock) {
            notify(work.channel);
        }
    }
}

/// A subtransaction was rolled back, with everything that started after it. A transaction's first has the number 1.
pub fn roll_back(subtransaction: SubTransactionId) {
    NOTED.with_borrow_mut(|noted| noted.retain(|(from, _)| *from < subtransaction));
    if subtransaction == 0 {
        IS_FOR_EVERYBODY.set(false);
    }
}
