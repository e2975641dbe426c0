//! Whoever waits for work says so, and whoever has some wakes him as he commits.
//!
//! NOTIFY takes a lock on all databases of the server until its transaction has committed, so that commits that notify form a line. So
//! none does unless somebody waits, and then one at a time. Who commits beside that one is not heard of, nor is who passed his look at
//! those who wait a moment before: they look again by themselves, a few milliseconds later at first and then ever more seldom.

use crate::error::Result;
use crate::levels::subtransaction;
use crate::lock::{self, Kind};
use crate::{OwnStatement, datum, notify};
use pgrx::pg_sys::{self, SubTransactionId};
use std::cell::RefCell;
use std::mem::ManuallyDrop;

/// Somebody waits for work of this kind, and a transaction wakes those who do.
const WAITED_FOR: Kind = Kind(0x4c58);
const WOKEN: Kind = Kind(0x4c59);

/// Kinds of work that one channel tells of, each a bit, so that those who wait for others are left alone. No two channels share a bit.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    kinds: u32,
    /// Who waits for it listens there. No payload, so that a transaction sends one notification for all that it has.
    channel: &'static str,
}

impl Work {
    pub const fn new(channel: &'static str, kinds: u32) -> Self {
        Self { kinds, channel }
    }

    /// The kind that work of a name is of.
    pub fn named(self, name: &str) -> Self {
        let kind = crc32fast::hash(name.as_bytes()) % self.kinds.count_ones();
        let kinds = self.kinds().nth(kind as usize);
        Self::new(self.channel, kinds.map_or(0, |kind| 1 << kind))
    }

    /// The same of many names.
    pub fn named_any(self, names: &[String]) -> Self {
        let all = names.iter().map(|name| self.named(name).kinds);
        Self::new(self.channel, all.fold(0, |all, it| all | it))
    }

    fn kinds(self) -> impl Iterator<Item = u32> {
        (0..u32::BITS).filter(move |kind| self.kinds & (1 << kind) != 0)
    }
}

thread_local! {
    /// What the transaction has, by the subtransaction that it comes from.
    static NOTED: RefCell<Vec<(SubTransactionId, Work)>> = const { RefCell::new(Vec::new()) };

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
        let known = noted.iter().fold(0, |all, (_, noted)| all | noted.kinds);
        if known & work.kinds != work.kinds {
            noted.push((now, work));
        }
    });
}

/// The session waits for such work from now on, if it listens for it. Whoever looks for some after this misses little.
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

/// The session no longer waits for any such work.
pub fn wait_no_more(work: Work) {
    for kind in work.kinds() {
        lock::give_back(WAITED_FOR, 0, kind, WAITING);
    }
}

/// Those who wait share a lock with each other, and those who look at it share theirs.
const WAITING: u32 = pg_sys::RowExclusiveLock;
const LOOKING: u32 = pg_sys::ShareLock;

/// Wakes those who wait for what the transaction has.
pub fn before_commit() {
    let noted = NOTED.take();
    let mut channels: Vec<Work> = Vec::new();
    for (_, work) in noted {
        match channels.iter_mut().find(|it| it.channel == work.channel) {
            Some(channel) => channel.kinds |= work.kinds,
            None => channels.push(work),
        }
    }
    for work in channels {
        let mut kinds = work.kinds();
        let is_waited_for = kinds.any(|kind| !lock::is_free(WAITED_FOR, 0, kind, LOOKING));
        if is_waited_for && lock::try_take(WOKEN, 0, work.kinds, pg_sys::ExclusiveLock) {
            notify(work.channel);
        }
    }
}

/// A subtransaction was rolled back, and with it all that began after it; the first of a transaction has the number 1.
pub fn roll_back(subtransaction: SubTransactionId) {
    NOTED.with_borrow_mut(|noted| noted.retain(|(from, _)| *from < subtransaction));
}
