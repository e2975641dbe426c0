//! All errors of this extension, each with its SQLSTATE, DETAIL and HINT.
//!
//! SQLSTATEs are PostgreSQL's own, so that clients can branch on them. Table and column names are in the DETAIL, because the
//! error's name fields do not survive a Rust frame.

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
    Error, HostError, OrRaise, Result, ServerError, check_finite, check_positive, check_range,
    required,
};
pub(crate) use retention::RetentionError;
pub(crate) use service_account::ServiceAccountError;
