//! What is written of an event: itself and its deliveries ([`rows`]), the channels these are in ([`channel`]), and how the pipelines of
//! a branch ended ([`pipeline`]).

pub(crate) mod channel;
pub(crate) mod pipeline;
pub(crate) mod rows;

pub(crate) use channel::Channel;
pub(crate) use pipeline::Finished;
pub(crate) use rows::NewDelivery;
