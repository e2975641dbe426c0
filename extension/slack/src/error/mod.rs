//! All errors of this extension, each with its SQLSTATE, DETAIL and HINT.
//!
//! SQLSTATEs are PostgreSQL's own, so that clients can branch on them. Table and column names are in the DETAIL, because the
//! error's name fields do not survive a Rust frame.

mod chatops;
mod delivery;
mod event;
mod integration;
mod slack;
mod subscription;

pub(crate) use chatops::ChatopsError;
pub(crate) use delivery::DeliveryError;
pub(crate) use event::EventError;
pub(crate) use integration::IntegrationError;
pub(crate) use lockstep_server::error::{
    Error, HostError, OrRaise, Result, ServerError, check_finite, check_positive, required,
};
pub(crate) use slack::SlackError;
pub(crate) use subscription::SubscriptionError;
