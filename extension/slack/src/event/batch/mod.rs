//! A batch of events: lookups, decisions and writes are done for the whole batch ([`handle`]), each step with statements for all
//! events ([`mod@write`]). [`decided`] is what is known of each.

mod decided;
mod handle;
mod same_channel;
mod unreached;
mod write;

pub(super) use decided::{Answer, Outcome, Received};
pub(super) use handle::{explain, publish};
