//! Outcomes of deliveries: the sender's report ([`result`]) is written ([`finish`]), Slack's id of a channel is stored
//! ([`lane`]), and others can query the outcome ([`outcome`]).

pub(crate) mod finish;
mod lane;
pub(crate) mod outcome;
mod result;
