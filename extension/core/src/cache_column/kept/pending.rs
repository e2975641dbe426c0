//! The keys that row triggers noted and the statement trigger has not flushed yet.
//!
//! Notes use memory for a statement's distinct keys, however often each is noted; if memory runs out, the statement fails. They
//! live in backend memory, stacked by subtransaction. A flush takes only the notes of its own level: if it also took those of an
//! outer statement, a rollback to a savepoint would undo their flush and lose them.

use crate::error::Result;
use lockstep_server::levels::{Layer, Levels, nesting};
use std::cell::{Cell, RefCell};

/// What happened to one target key, as seen by a row trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A matching row now exists: the value is known to be true.
    Gained,
    /// A matching row is gone, or its state is uncertain: the value must be recomputed.
    Lost,
    /// The target row itself is new under this key: the value must be recomputed.
    Arrived,
}

/// Keys in the order they were noted. Duplicates are merged as they accumulate.
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

    /// Grows only if most keys are distinct, so that it is never more than four times as large as needed.
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

    /// In ascending order, without duplicates.
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
        // The uncertain keys first: if memory runs out in between, no key is left that is only claimed to be known.
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

/// Notes of one (sub)transaction, by definition. A statement uses few definitions, so a list beats a map.
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

/// How many losses this backend has noted so far. While this does not change, gained rows still exist.
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

/// Takes all notes of the current level, by definition. This level may have lost what outer levels gained: an exception block in
/// an application trigger can undo its statement. So outer levels must recompute, whether or not this level is rolled back later.
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

/// Discards the notes of a savepoint or transaction that is rolled back.
pub(crate) fn roll_back_notes(nesting: i32) {
    PENDING.with_borrow_mut(|pending| pending.roll_back(nesting));
}

/// Moves the notes of a released savepoint to the enclosing level.
pub(crate) fn release_notes(nesting: i32) -> Result<()> {
    PENDING.with_borrow_mut(|pending| pending.release(nesting))
}

/// How many notes have not been flushed.
pub(crate) fn notes_left() -> usize {
    PENDING.with_borrow(Levels::count)
}
