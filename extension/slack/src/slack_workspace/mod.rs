//! Slack workspaces. The application has a row per integration, although token, bot user and scopes belong to the workspace, its
//! *team*: these columns are kept identical in all rows of a team.
//!
//! The data flow: the application's rows are found ([`mod@host`]) and kept identical for every writer ([`mod@identical`]); the
//! app is installed in a workspace and removed ([`mod@installed`]), also by Slack's events ([`event`]); others query the result
//! ([`mod@lookup`]), and some users may change it ([`manager`]). `lockstep.attach` installs the triggers ([`mod@attach`]).

mod attach;
mod event;
mod host;
pub(crate) mod identical;
mod installed;
mod job;
mod lookup;
pub(crate) mod manager;

pub(crate) use attach::{FEATURE, attach, detach};
pub(crate) use host::{CLASS, Tables, check_max_rows, lock_team, workspace};
pub(crate) use identical::{notes_left, release_notes, roll_back_notes, rows_adrift, settle};
pub(crate) use lookup::{
    Destination, Token, allowed, ancestors, check_attached, destination_of, destinations,
    inherited, is_true_with_heirs, of_workspace, project_of_path, tokens, with_token,
    write_with_heirs,
};
pub(crate) use manager::Right;
