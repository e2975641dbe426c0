//! The Slack platform: its Web API ([`client`]) with retries ([`mod@retry`]), its requests ([`payload`]) and their signatures
//! ([`signature`]), messages to users ([`message`], [`markup`]), and what its errors mean to them ([`trouble`]).

mod client;
mod markup;
mod message;
mod payload;
mod replay;
mod retry;
mod signature;
mod signed;
mod trouble;

pub(crate) use client::{CallError, Credentials, SlackClient};
pub(crate) use markup::{fit, fit_lines};
pub(crate) use message::{
    Button, LONGEST_TEXT, Reply, code, escape, request_note, shorten, unescape,
};
pub(crate) use payload::{Action, Envelope, Interaction, Owner, SlashCommand, Tenant};
pub(crate) use retry::insist;
pub(crate) use signature::SigningSecret;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use signature::signed_headers;
pub(crate) use signed::{Original, Signed};
pub(crate) use trouble::advice;
