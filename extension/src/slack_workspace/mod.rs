//! Slack workspaces. The host has a row per integration, though token, bot user and scopes belong to the workspace, its *team*:
//! all rows of a team are kept identical in these.
//!
//! The way of the data: a row or a link to a scope is written, by whom ever; the team is locked before it ([`lock`]), the row
//! noted ([`trigger`], [`noted`]), and at the end of the statement what it means is found ([`flush`](mod@flush)) and spread
//! ([`spread`](mod@spread)). The installation itself ([`installation`]) has a table of its own, as it may have no row. The
//! functions of the sidecar are [`oauth_state`], [`event`], [`bot`], [`listing`], [`token`] and [`reseal`].
//!
//! What a team *has* is what any row of it has that the statement did not write ([`kept`]): they are identical. Beside that,
//!
//! - a row that was inserted, or given another token, is a *newer installation* if its token is not null and not the team's: the team
//!   follows it. Else it says nothing and takes over what the team has, and no other row is read or written: so the host's
//!   propagation costs the same in a team of any size;
//! - a row that was given another user, bot user or IV only carries it to the team, and one that was given another team only takes over;
//! - of a row that was given another time only, the newest in the team wins;
//! - a row that was linked or unlinked carries its scopes to the team if they are others than the team's, by their names. Where the
//!   scope itself is gone, it follows;
//! - a newer installation without a scope, and a row that has lost all while others of its team have theirs, say nothing of scopes yet:
//!   they are *open* ([`open`](mod@open)). The host inserts links after rows, and replaces them by deleting all first. With its first
//!   link a row is as any other; what is open at the end of the transaction carries that it has none ([`settle`](mod@settle)).
//!
//! If several carry, the last one wins. If nobody can say what the team has, as the statement wrote all of its rows, and none carries,
//! the best row wins: one with a token, the newest.

mod attach;
mod bot;
mod compare;
mod destination;
mod drift;
mod event;
mod flush;
mod heir;
mod install;
mod installation;
mod kept;
mod known;
mod listing;
mod lock;
mod noted;
mod oauth_state;
mod open;
mod owner;
mod path;
mod reseal;
mod scopes;
mod settle;
mod spread;
mod statements;
mod switch;
mod tables;
mod ticket;
mod token;
mod trigger;
mod uninstall;
mod workspace;
mod writing;

pub(crate) use attach::{attach, detach};
pub(crate) use bot::{Token, tokens};
pub(crate) use destination::{
    Destination, check_attached, destination_of, destinations, inherited,
};
pub(crate) use drift::{repair_range, rows_adrift};
pub(crate) use heir::write_with_heirs;
pub(crate) use known::Tables;
pub(crate) use noted::{notes_left, release_notes, roll_back_notes};
pub(crate) use owner::CLASS;
pub(crate) use settle::settle;
pub(crate) use switch::{allowed, of_workspace};
pub(crate) use tables::SLACK as TABLE;
pub(crate) use workspace::{check_max_rows, workspace};
