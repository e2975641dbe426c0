//! What became of deliveries: what a sender says ([`result`]) is written ([`finish`]), Slack's id of a channel is learned ([`lane`]), and those who
//! want to know may ask ([`outcome`]).

pub(crate) mod finish;
mod lane;
pub(crate) mod outcome;
mod result;
