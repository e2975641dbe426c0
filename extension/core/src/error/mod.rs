//! Every error a caller can meet: one variant each, with the SQLSTATE, DETAIL and HINT it is reported with.
//!
//! SQLSTATEs are PostgreSQL's own, so that a client can branch on them; names of tables and columns stand in the
//! DETAIL, because the error's name fields do not survive the way through a Rust frame.

mod backfill;
mod cache_column;
mod feature;
mod job;
mod retention;
mod service_account;

pub(crate) use backfill::BackfillError;
pub(crate) use cache_column::CacheColumnError;
pub(crate) use feature::FeatureError;
pub(crate) use job::JobError;
pub(crate) use lockstep_server::error::{
    Error, HostError, OrRaise, Result, ServerError, check_range, required,
};
pub(crate) use retention::RetentionError;
pub(crate) use service_account::ServiceAccountError;
