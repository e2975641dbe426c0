//! Shared by all requests: where they come from, what is counted and logged, how invalid ones are answered, and the layout of
//! pages; and our own requests ([`client`]).

mod cached;
mod client;
mod current;
mod drain;
mod layout;
mod metrics;
mod negotiate;
mod observe;
mod pace;
mod panicked;
pub(crate) mod path;
mod peer;
mod problem;
mod proxy;
mod room;
mod trace;

pub(crate) use cached::Cached;
pub(crate) use client::{ExchangeError, HttpClient};
pub(crate) use current::{for_request, has_failed, note_failure, pass_trace_on, shown_id};
pub(crate) use layout::{failure, page, protect, style, title};
pub(crate) use metrics::{Counter, Gauge, Gauges, Timing, count, count_call, install, sort, time};
pub(crate) use observe::observe;
pub(crate) use panicked::catch_panics;
pub(crate) use peer::Peer;
pub(crate) use problem::Problem;
pub(crate) use room::{FULL, Read, Room};
