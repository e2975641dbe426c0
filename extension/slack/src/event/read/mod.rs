//! Parses an event in the format of GitLab's webhooks ([`lockstep_webhook`]): its kind ([`kind`]), and what decides who is
//! notified ([`occurrence`]).

mod kind;
mod occurrence;

pub(crate) use kind::{KINDS, Kind};
pub(crate) use occurrence::{Author, Branch, Flaw, Occurrence, Pipeline, Place};
