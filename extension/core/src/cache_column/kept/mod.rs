//! Maintains cache columns. When a source row changes, its row trigger notes the target key ([`note`], [`pending`]), and the
//! statement trigger flushes all noted keys to the target rows ([`flush`](mod@flush)) with the definition's statements
//! ([`keeper`](mod@keeper)). New target rows get their value ([`arrival`]), missing ones are allowed for ([`absence`]), and where
//! no key is known the whole target is checked ([`truncate`], [`walk`]).

mod absence;
mod arrival;
mod flush;
mod keeper;
mod known;
mod note;
mod pending;
mod truncate;
mod walk;

pub(crate) use pending::{notes_left, release_notes, roll_back_notes};
pub(crate) use walk::{
    Walk, look_at_all, look_at_part_of_source, look_at_part_of_target, preview, repair_all,
    repair_range,
};
