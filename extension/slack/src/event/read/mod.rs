//! An event is read: it comes as the host's webhooks have it ([`lockstep_webhook`]); what it is ([`kind`]) and what decides over it
//! ([`occurrence`]) is taken from that.

mod kind;
mod occurrence;

pub(crate) use kind::{KINDS, Kind};
pub(crate) use occurrence::{Author, Branch, Flaw, Occurrence, Pipeline, Place};
