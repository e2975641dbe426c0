//! A job ([`job`]) processes one range of keys ([`key`]) and counts its rows ([`counts`]). Built-in jobs ([`built_in`]) and
//! registered ones ([`registered`]) are found by name ([`registry`]).

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
