//! The rows that triggers noted, for the statement trigger to process.

use super::{kept, open};
use crate::error::Result;
use lockstep_server::levels::{Layer, Levels, nesting};
use std::cell::RefCell;
use std::collections::HashSet;

/// What happened to a row. The flush decides what that means for the team.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Cause {
    /// It was inserted.
    Came,
    /// It was inserted with the token that its team had before the statement.
    Joined,
    /// Its token was changed or removed.
    Brings,
    /// Its user, bot user or token IV was changed.
    Says,
    /// Its team was changed.
    Moved,
    /// Only its timestamp was changed.
    Touched,
    /// A link to this scope was added or removed.
    Linked(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Note {
    /// The table of Slack integrations.
    pub(super) table: u32,
    pub(super) row: i64,
    pub(super) cause: Cause,
}

/// In the order in which they were noted; of duplicates the last one counts.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Notes {
    fn push(&mut self, note: Note) -> Result<()> {
        if self.0.len() == self.0.capacity() {
            self.make_room()?;
        }
        self.0.push(note);
        Ok(())
    }

    /// Drops notes that were repeated later; grows only if that freed little.
    #[cold]
    fn make_room(&mut self) -> Result<()> {
        let mut seen = HashSet::new();
        seen.try_reserve(self.0.len())?;
        self.0.reverse();
        self.0.retain(|note| seen.insert(*note));
        self.0.reverse();
        if self.0.len() * 2 >= self.0.capacity() {
            self.0.try_reserve(self.0.len().max(1))?;
        }
        Ok(())
    }
}

impl Layer for Notes {
    fn append(&mut self, mut inner: Self) -> Result<()> {
        self.0.try_reserve(inner.0.len())?;
        self.0.append(&mut inner.0);
        Ok(())
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

thread_local! {
    static NOTED: RefCell<Levels<Notes>> = const { RefCell::new(Levels::new()) };
}

pub(super) fn note(note: Note) -> Result<()> {
    NOTED.with_borrow_mut(|noted| noted.at(nesting(), |notes| notes.push(note)))
}

/// Takes the notes of the current level.
pub(super) fn take() -> Vec<Note> {
    let taken = NOTED.with_borrow_mut(|noted| noted.take(nesting()));
    taken.unwrap_or_default().0
}

/// Discards the notes of a savepoint or transaction that is rolled back.
pub(crate) fn roll_back_notes(nesting: i32) {
    NOTED.with_borrow_mut(|noted| noted.roll_back(nesting));
    open::roll_back(nesting);
    kept::forget();
}

/// Moves the notes of a released savepoint to the enclosing level.
pub(crate) fn release_notes(nesting: i32) -> Result<()> {
    kept::forget();
    NOTED.with_borrow_mut(|noted| noted.release(nesting))?;
    open::release(nesting)
}

/// How many notes have not been flushed.
pub(crate) fn notes_left() -> usize {
    NOTED.with_borrow(Levels::count)
}
