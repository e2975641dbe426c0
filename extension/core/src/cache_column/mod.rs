//! Cache columns: a boolean on a target table that says whether the target has a matching source row.
//!
//! Each column has a definition ([`mod@defined`]); triggers maintain it for every writer ([`mod@kept`]) once they are installed
//! ([`mod@installed`]).

mod defined;
mod installed;
mod kept;

pub(crate) use installed::{
    attach, detach, features, give_back_all, take_down_from_shards, targets,
};
pub(crate) use kept::{notes_left, preview, release_notes, repair_range, roll_back_notes};
