//! The rows that triggers noted and the statement trigger has yet to bring their teams in lockstep with.

use crate::levels::{Layer, Levels, nesting};
use std::cell::RefCell;

/// Why a row was noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// It brings what the team is to have.
    Carries,
    /// It says nothing new of the team: the team's best row wins.
    Follows,
    /// It came to the team without saying anything of it: the best of the others wins.
    Came,
    /// A link of it to this scope came or went. If the scope itself is gone, it follows; else it carries.
    Linked(i64),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Note {
    /// The table of Slack integrations.
    pub(super) table: u32,
    pub(super) row: i64,
    pub(super) cause: Cause,
}

/// In the order in which they were noted.
#[derive(Default)]
struct Notes(Vec<Note>);

impl Layer for Notes {
    fn append(&mut self, mut inner: Self) {
        self.0.append(&mut inner.0);
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

thread_local! {
    static NOTED: RefCell<Levels<Notes>> = const { RefCell::new(Levels::new()) };
}

pub(super) fn note(note: Note) {
    NOTED.with_borrow_mut(|noted| noted.at(nesting(), |notes| notes.0.push(note)));
}

/// Takes the notes of the current level.
pub(super) fn take() -> Vec<Note> {
    let taken = NOTED.with_borrow_mut(|noted| noted.take(nesting()));
    taken.unwrap_or_default().0
}

/// Forgets what a savepoint of that nesting, or the transaction, noted: it is rolled back.
pub(crate) fn roll_back_notes(nesting: i32) {
    NOTED.with_borrow_mut(|noted| noted.roll_back(nesting));
}

/// Hands the notes of a savepoint that is released to the level around it.
pub(crate) fn release_notes(nesting: i32) {
    NOTED.with_borrow_mut(|noted| noted.release(nesting));
}

/// How many notes are not flushed.
pub(crate) fn notes_left() -> usize {
    NOTED.with_borrow(Levels::len)
}
