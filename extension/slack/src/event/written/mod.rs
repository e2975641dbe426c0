//! Writes an event and its deliveries ([`rows`]), their channels ([`channel`]), and how a branch's pipelines ended
//! ([`pipeline`]).

pub(crate) mod channel;
pub(crate) mod pipeline;
pub(crate) mod rows;

pub(crate) use channel::Channel;
pub(crate) use pipeline::Finished;
pub(crate) use rows::NewDelivery;
