//! Parses an event in the format of GitLab's webhooks ([`lockstep_webhook`]): its kind ([`kind`]), whether it is news ([`news`]), and what decides who is
//! notified ([`occurrence`], [`pipeline`], [`facts`], [`people`]).

mod facts;
mod kind;
mod news;
mod occurrence;
mod people;
mod pipeline;

pub(crate) use facts::Facts;
pub(crate) use kind::{KINDS, Kind};
pub(crate) use news::{News, ON_REQUEST};
pub(crate) use occurrence::{Author, Branch, Flaw, Occurrence, Place};
pub(crate) use people::People;
pub(crate) use pipeline::Pipeline;
