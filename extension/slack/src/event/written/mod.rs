//! Writes an event and its deliveries ([`rows`]), their channels ([`channel`]), whether it came by another webhook
//! before ([`copies`]), and how the pipelines of a branch, tag or merge
//! request ended ([`pipeline`]).

pub(crate) mod channel;
pub(crate) mod copies;
pub(crate) mod pipeline;
pub(crate) mod rows;

pub(crate) use channel::Channel;
pub(crate) use pipeline::{Change, Finished};
pub(crate) use rows::{NewDelivery, Source};
