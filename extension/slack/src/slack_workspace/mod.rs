//! Slack workspaces. The host has a row per integration, though token, bot user and scopes belong to the workspace, its *team*:
//! all rows of a team are kept identical in these.
//!
//! The way of the data: rows at the host are found ([`mod@host`]) and kept identical whoever writes them ([`mod@identical`]); the app is
//! installed in a workspace and removed from it ([`mod@installed`]), as Slack tells in events, too ([`event`]); what is so, others ask
//! ([`mod@lookup`]), and some may change ([`manager`]). `lockstep.attach` installs the triggers ([`mod@attach`]).

mod attach;
mod event;
mod host;
pub(crate) mod identical;
mod installed;
mod lookup;
pub(crate) mod manager;

pub(crate) use attach::{FEATURE, attach, detach};
pub(crate) use host::{CLASS, Tables, check_max_rows, workspace};
pub(crate) use identical::{notes_left, release_notes, roll_back_notes, rows_adrift, settle};
pub(crate) use lookup::{
    Destination, Token, allowed, check_attached, destination_of, destinations, inherited,
    of_workspace, tokens, write_with_heirs,
};
pub(crate) use manager::Right;
