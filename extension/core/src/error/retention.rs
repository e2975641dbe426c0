//! Errors of record retention.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) RetentionError:
    NoSuchRecord { what: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there are no records \"{what}\""),
        "Only some records are removed by their age.",
        "They are listed in lockstep.retentions.",
    ),
}
