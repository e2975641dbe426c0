//! The teams that we are writing right now, so that our triggers ignore our own writes.

use std::cell::RefCell;
use std::rc::Rc;

thread_local! {
    static WRITING: RefCell<Vec<(u32, Rc<[String]>)>> = const { RefCell::new(Vec::new()) };
}

/// While this lives, the teams are being written. An error that unwinds ends it too.
pub(crate) struct Writing;

impl Writing {
    pub(crate) fn begin(table: u32, mut teams: Vec<String>) -> Self {
        teams.sort_unstable();
        WRITING.with_borrow_mut(|writing| writing.push((table, Rc::from(teams))));
        Self
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        WRITING.with_borrow_mut(Vec::pop);
    }
}

/// Whether a team of the table is being written.
pub(super) fn is_writing(table: u32, team: &str) -> bool {
    WRITING.with_borrow(|writing| {
        writing
            .iter()
            .any(|(its, teams)| *its == table && has(teams, team))
    })
}

/// Whether any team of the table is being written.
pub(super) fn is_writing_any(table: u32) -> bool {
    WRITING.with_borrow(|writing| writing.iter().any(|(its, _)| *its == table))
}

fn has(teams: &[String], team: &str) -> bool {
    let place = teams.binary_search_by(|one| one.as_str().cmp(team));
    place.is_ok()
}
