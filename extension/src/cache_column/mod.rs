//! Cache columns: a boolean on a target table that says whether the target has a matching source row.
//!
//! The way of the data: a source row changes, its row trigger *notes* the target key ([`note`]), the statement trigger
//! *flushes* all noted keys ([`flush`]) to the target rows, as the definition says ([`definition`]).

mod absence;
mod arrival;
mod attach;
mod definition;
mod drift;
mod flush;
mod install;
mod keeper;
mod known;
mod matching;
mod mend;
mod note;
mod pending;
mod state;
mod trigger;
mod triggers;
mod truncate;
mod walk;

pub(crate) use attach::{attach, detach};
pub(crate) use drift::{standings, targets};
pub(crate) use install::give_back_all;
pub(crate) use pending::{notes_left, release_notes, roll_back_notes};
pub(crate) use walk::repair_range;
