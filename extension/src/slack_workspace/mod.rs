//! Slack workspaces. The host has a row per integration, though token, bot user and scopes belong to the workspace, its *team*:
//! all rows of a team are kept identical in these.
//!
//! The way of the data: a row or a link to a scope is written, by whom ever; the team is locked before it ([`lock`]), the row
//! noted ([`trigger`], [`noted`]), and at the end of the statement the row that wins in each team is found ([`flush`](mod@flush)) and
//! spread to the others ([`spread`](mod@spread)). The installation itself ([`installation`]) has a table of its own, as it may have no row. The
//! functions of the sidecar are [`oauth_state`], [`event`], [`bot`], [`listing`], [`token`] and [`reseal`].

mod attach;
mod bot;
mod compare;
mod destination;
mod drift;
mod event;
mod flush;
mod heir;
mod host_text;
mod install;
mod installation;
mod listing;
mod lock;
mod noted;
mod oauth_state;
mod owner;
mod path;
mod reseal;
mod scopes;
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
pub(crate) use bot::{Token, check_max_rows, tokens};
pub(crate) use destination::{
    Destination, check_attached, destination_of, destinations, inherited,
};
pub(crate) use drift::{repair_range, rows_adrift};
pub(crate) use heir::write_with_heirs;
pub(crate) use host_text::{NOW, qualified};
pub(crate) use noted::{notes_left, release_notes, roll_back_notes};
pub(crate) use owner::CLASS;
pub(crate) use switch::{allowed, of_workspace};
pub(crate) use tables::{SLACK as TABLE, Tables};
pub(crate) use workspace::workspace;
