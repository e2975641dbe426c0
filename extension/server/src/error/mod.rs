//! Errors, each with its SQLSTATE, DETAIL and HINT. Each topic is an enum made by [`errors`](crate::errors); [`Error`] holds an
//! error of any topic.
//!
//! SQLSTATEs are PostgreSQL's own, so that clients can branch on them. Table and column names are in the DETAIL, because the
//! error's name fields do not survive a Rust frame.

mod call;
mod host;
mod report;

pub use call::{ServerError, check_finite, check_positive, check_range, required};
pub use host::HostError;
pub use report::{Error, OrRaise, Report, Result, Topic, notice, report};
