//! What the host has of Slack workspaces: its tables ([`tables`]), as they are remembered ([`known`]) with the statements on them
//! ([`statements`]), who an integration belongs to ([`owner`]), and which rows a request is about ([`mod@workspace`]). Whoever writes takes
//! the lock of the team first ([`lock`]).

mod known;
pub(crate) mod lock;
mod owner;
mod statements;
mod tables;
mod workspace;

pub(crate) use known::{NOTE, Tables, tables_of};
pub(crate) use owner::{CLASS, Kind, Owner, event_columns};
pub(crate) use statements::{SHARED, Statements, by_index, owner_or};
pub(crate) use tables::{Host, LINKS, SLACK};
pub(crate) use workspace::{check_max_rows, workspace};
