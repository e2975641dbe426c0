//! The Slack app. A request is verified ([`signature`]) before it gets here; then it is an event ([`event`]), a slash command
//! ([`command`]), or something done in the App Home ([`interaction`], [`options`], [`settings`]). What cannot be answered at once becomes a job
//! ([`workers`]). Installations come in through [`install`], and their tokens are kept by [`cipher`] and [`refresh`].

mod cipher;
mod client;
mod command;
mod event;
mod home;
mod insist;
mod install;
mod interaction;
mod late;
mod manifest;
mod markup;
mod message;
mod options;
mod payload;
mod refresh;
mod settings;
mod signature;
mod workers;

pub(crate) use cipher::{SealedWith, TokenKeys};
pub(crate) use client::{CallError, SlackClient};
pub(crate) use command::{advice, receive_command};
pub(crate) use event::receive_event;
pub(crate) use insist::insist;
pub(crate) use install::{Installed, begin_install, finish_install};
pub(crate) use interaction::receive_interaction;
pub(crate) use manifest::print_manifest;
pub(crate) use markup::{fit, fit_lines};
pub(crate) use message::{LONGEST_TEXT, Reply, code, escape, shorten, unescape};
pub(crate) use options::receive_options_request;
pub(crate) use payload::{Owner, SlashCommand};
pub(crate) use refresh::keep;
pub(crate) use settings::EVENTS;
pub(crate) use signature::{Refusal, SigningSecret};
pub(crate) use workers::SlackWorkers;
