//! Every error a caller can meet: one variant each, with the SQLSTATE, DETAIL and HINT it is reported with.
//!
//! SQLSTATEs are PostgreSQL's own, so that a client can branch on them; names of tables and columns stand in the
//! DETAIL, because the error's name fields do not survive the way through a Rust frame.

mod chatops;
mod delivery;
mod event;
mod integration;
mod slack;

pub(crate) use chatops::ChatopsError;
pub(crate) use delivery::DeliveryError;
pub(crate) use event::EventError;
pub(crate) use integration::IntegrationError;
pub(crate) use lockstep_server::error::{Error, HostError, OrRaise, Result, ServerError, required};
pub(crate) use slack::SlackError;
