//! What a job is ([`job`]): how to do one range of keys ([`key`]), and what it counts ([`counts`]). Those that come with lockstep
//! ([`built_in`]) and those that DBAs register ([`registered`]) are found by their names ([`registry`]).

mod built_in;
mod counts;
mod job;
mod key;
mod registered;
pub(crate) mod registry;

pub(crate) use counts::Counts;
pub(crate) use job::Task;
pub(crate) use key::{Key, KeyRange};
pub(crate) use registered::hold_function;
