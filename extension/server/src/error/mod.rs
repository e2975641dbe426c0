//! Errors, each with the SQLSTATE, DETAIL and HINT it is reported with. A topic is an enum of [`errors`](crate::errors); [`Error`] is one of
//! any topic.
//!
//! SQLSTATEs are PostgreSQL's own, so that a client can branch on them; names of tables and columns stand in the
//! DETAIL, because the error's name fields do not survive the way through a Rust frame.

mod call;
mod host;
mod report;

pub use call::{ServerError, check_range, required};
pub use host::HostError;
pub use report::{Error, OrRaise, Report, Result, Topic, notice, report};
