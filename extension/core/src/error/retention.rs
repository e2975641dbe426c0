//! Errors of record retention.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) RetentionError:
    NoSuchRecord { what: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there are no records \"{what}\""),
        "Only some records are removed by their age.",
        "lockstep.retentions lists them.",
    ),
    Keep { what: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("cannot keep records \"{what}\" for no time"),
        "What is older than the time is removed.",
        "Give a time above 0, such as interval '90 days', or null to keep them for ever.",
    ),
}
