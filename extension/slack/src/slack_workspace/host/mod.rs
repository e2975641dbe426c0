//! Slack workspaces in the application: its tables ([`tables`]), cached ([`known`]) with the statements on them ([`statements`]),
//! who owns an integration ([`owner`]), and which rows a request is about ([`mod@workspace`]). Writers take the team's lock first
//! ([`lock`]).

mod known;
pub(crate) mod lock;
mod owner;
mod statements;
mod tables;
mod workspace;

pub(crate) use known::{NOTE, Tables, tables_of};
pub(crate) use lock::team as lock_team;
pub(crate) use owner::{CLASS, Kind, Owner, event_columns};
pub(crate) use statements::{SHARED, Statements, by_index, owner_or};
pub(crate) use tables::{Host, LINKS, SLACK};
pub(crate) use workspace::{check_max_rows, is_known, workspace};
