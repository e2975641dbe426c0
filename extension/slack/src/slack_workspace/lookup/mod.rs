//! Queries about workspaces: their bots ([`bot`]), their integrations ([`listing`], [`listed`], [`by_path`]), where these send to
//! ([`destination`]), where a project is ([`path`]). A Slack user can switch an integration ([`switch`]), together with those
//! that inherit from it ([`heir`]).

mod bot;
mod by_path;
mod destination;
mod heir;
mod listed;
mod listing;
mod path;
mod switch;

pub(crate) use bot::{Token, tokens, with_token};
pub(crate) use by_path::project_of_path;
pub(crate) use destination::{
    Destination, ancestors, check_attached, destination_of, destinations, inherited,
};
pub(crate) use heir::{is_true_with_heirs, write_with_heirs};
pub(crate) use switch::{allowed, of_workspace};
