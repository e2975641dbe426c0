//! The keys that row triggers noted and the statement trigger has yet to flush.
//!
//! Notes take memory for the distinct keys of a statement, however often each is noted, and more than there is makes that statement
//! fail. They live in the memory of the backend, stacked by subtransaction: a flush takes only what its own level noted. Were
//! it to take the notes of an outer statement too, a rollback to a savepoint would undo their flush and they
//! would be lost.

use crate::error::Result;
use lockstep_server::levels::{Layer, Levels, nesting};
use std::cell::{Cell, RefCell};

/// What a row trigger saw happen to one target key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A row that matches now exists: the value is known to be true.
    Gained,
    /// A matching row went, or what became of it is not certain: the value has to be looked up.
    Lost,
    /// The target row itself is new under this key: the value has to be looked up.
    Arrived,
}

/// Keys in the order in which they were noted. Duplicates are folded as they pile up.
#[derive(Default, Debug)]
pub(super) struct Noted(Vec<i64>);

impl Noted {
    fn push(&mut self, key: i64) -> Result<()> {
        if self.0.last() == Some(&key) {
            return Ok(());
        }
        if self.0.len() == self.0.capacity() {
            self.make_room()?;
        }
        self.0.push(key);
        Ok(())
    }

    /// Grows only if most of it are distinct keys, so that it is never more than four times as large as they are.
    #[cold]
    fn make_room(&mut self) -> Result<()> {
        self.fold();
        if self.0.len() * 2 >= self.0.capacity() {
            self.0.try_reserve(self.0.len().max(1))?;
        }
        Ok(())
    }

    fn fold(&mut self) {
        self.0.sort_unstable();
        self.0.dedup();
    }

    fn append(&mut self, other: &mut Self) -> Result<()> {
        self.0.try_reserve(other.0.len())?;
        self.0.append(&mut other.0);
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In ascending order, each once.
    pub(super) fn into_sorted(mut self) -> Vec<i64> {
        self.fold();
        self.0
    }
}

/// The keys noted for one definition.
#[derive(Default, Debug)]
pub(super) struct Notes {
    pub(super) gained: Noted,
    pub(super) lost: Noted,
    pub(super) arrived: Noted,
}

impl Notes {
    fn push(&mut self, key: i64, change: Change) -> Result<()> {
        match change {
            Change::Gained => self.gained.push(key),
            Change::Lost => self.lost.push(key),
            Change::Arrived => self.arrived.push(key),
        }
    }

    fn append(&mut self, mut other: Self) -> Result<()> {
        // First those that say nothing of the value: if memory runs out between the two, no key is left that only claims to be known.
        self.lost.append(&mut other.lost)?;
        self.arrived.append(&mut other.arrived)?;
        self.gained.append(&mut other.gained)
    }

    /// Nothing is known to be true any more.
    fn doubt(&mut self) -> Result<()> {
        self.lost.append(&mut self.gained)
    }

    fn len(&self) -> usize {
        self.gained.0.len() + self.lost.0.len() + self.arrived.0.len()
    }
}

/// Notes of one (sub)transaction, by definition. A statement touches few definitions, so a list beats a map.
#[derive(Default)]
struct Definitions(Vec<(i32, Notes)>);

impl Definitions {
    fn notes_of(&mut self, definition: i32) -> &mut Notes {
        let found = self.0.iter().position(|(id, _)| *id == definition);
        let index = found.unwrap_or_else(|| {
            self.0.push((definition, Notes::default()));
            self.0.len() - 1
        });
        &mut self.0[index].1
    }
}

impl Layer for Definitions {
    fn append(&mut self, inner: Self) -> Result<()> {
        for (definition, notes) in inner.0 {
            self.notes_of(definition).append(notes)?;
        }
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.iter().map(|(_, notes)| notes.len()).sum()
    }
}

thread_local! {
    static PENDING: RefCell<Levels<Definitions>> = const { RefCell::new(Levels::new()) };
    static LOSSES: Cell<u64> = const { Cell::new(0) };
}

/// How many losses this backend has noted so far. As long as it stays the same, what was gained is still there.
pub(super) fn losses() -> u64 {
    LOSSES.get()
}

/// Notes what happened to a key, at the current level.
pub(super) fn note(definition: i32, key: i64, change: Change) -> Result<()> {
    if change == Change::Lost {
        LOSSES.set(LOSSES.get() + 1);
    }
    PENDING.with_borrow_mut(|pending| {
        pending.at(nesting(), |level| {
            level.notes_of(definition).push(key, change)
        })
    })
}

/// Takes all notes of the current level, by definition. What outer levels took for gained may be what this level lost: an exception
/// block in a trigger of the host can take back what its statement did. So they have to look, whether or not this level is
/// rolled back later.
pub(super) fn take() -> Result<Vec<(i32, Notes)>> {
    PENDING.with_borrow_mut(|pending| {
        let Some(taken) = pending.take(nesting()) else {
            return Ok(Vec::new());
        };
        for outer in pending.layers() {
            for (definition, notes) in &taken.0 {
                if !notes.lost.is_empty() {
                    outer.notes_of(*definition).doubt()?;
                }
            }
        }
        Ok(taken.0)
    })
}

/// Forgets what a savepoint of that nesting, or the transaction, noted: it is rolled back.
pub(crate) fn roll_back_notes(nesting: i32) {
    PENDING.with_borrow_mut(|pending| pending.roll_back(nesting));
}

/// Hands the notes of a savepoint that is released to the level around it.
pub(crate) fn release_notes(nesting: i32) -> Result<()> {
    PENDING.with_borrow_mut(|pending| pending.release(nesting))
}

/// How many notes are not flushed.
pub(crate) fn notes_left() -> usize {
    PENDING.with_borrow(Levels::count)
}
