//! An event is read: it comes as the host's webhooks have it ([`payload`], in the forgiving types of [`field`](mod@field)); what it is
//! ([`kind`]) and what decides over it ([`occurrence`]) is taken from that. What nobody could read is refused ([`readable`]), and of the rest
//! is kept what messages show ([`trim`]).

mod field;
mod kind;
mod occurrence;
mod payload;
mod readable;
mod trim;

pub(crate) use kind::{KINDS, Kind};
pub(crate) use occurrence::{Author, Branch, Flaw, Occurrence, Pipeline, Place};
pub(crate) use trim::trimmed;
