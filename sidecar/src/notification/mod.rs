//! What happens in projects, told in Slack's channels: an event's payload becomes a message ([`message`]).
// Until what sends messages is here.
#![allow(dead_code)]

pub(crate) mod message;
