//! What can go wrong with any call.

use super::report::{Error, errors};
use pgrx::PgSqlErrorCode::*;
use std::collections::TryReserveError;
use std::fmt::Display;

// It takes no memory to say so.
errors! {
    MemoryError:
    OutOfMemory => (
        ERRCODE_OUT_OF_MEMORY,
        "out of memory",
        "The keys of the rows that a statement changes are kept until it ends.",
        "Change fewer rows in one statement.",
    ),
}

errors! {
    pub ServerError:
    NullArgument { name: &'static str } => (
        ERRCODE_NULL_VALUE_NOT_ALLOWED,
        format!("{name} must not be null"),
        "The call does nothing without it.",
        "Give it a value, or leave it out where it has a default.",
    ),
    Catalog { message: String } => (
        ERRCODE_INTERNAL_ERROR,
        format!("cannot read the system catalogs: {message}"),
        "This should not happen.",
        "Report it as a bug of lockstep.",
    ),
}

impl ServerError {
    /// What reading the system catalogs failed with.
    pub fn catalog(error: impl Display) -> Error {
        let message = error.to_string();
        Self::Catalog { message }.into()
    }
}

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        MemoryError::OutOfMemory.into()
    }
}

/// The argument of an SQL function that does nothing without it.
#[track_caller]
pub fn required<T>(argument: Option<T>, name: &'static str) -> T {
    match argument {
        Some(value) => value,
        None => Error::from(ServerError::NullArgument { name }).raise(),
    }
}
