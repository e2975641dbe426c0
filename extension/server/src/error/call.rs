//! Errors of any call.

use super::report::{Error, Result, errors};
use pgrx::PgSqlErrorCode::*;
use pgrx::datum::{Interval, TimestampWithTimeZone};
use std::collections::TryReserveError;
use std::fmt::Display;

// Reporting this error allocates no memory.
errors! {
    MemoryError:
    OutOfMemory => (
        ERRCODE_OUT_OF_MEMORY,
        "out of memory",
        "A statement keeps the keys of the rows it changes in memory until it ends.",
        "Change fewer rows in one statement.",
    ),
}

errors! {
    pub ServerError:
    NullArgument { name: &'static str } => (
        ERRCODE_NULL_VALUE_NOT_ALLOWED,
        format!("{name} must not be null"),
        "The argument is required.",
        "Pass a value, or leave it out to use its default.",
    ),
    Range { first: &'static str, last: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{first} is greater than {last}"),
        "The range is empty.",
        format!("Swap them: the range includes both {first} and {last}."),
    ),
    Infinite { name: &'static str } => (
        ERRCODE_DATETIME_FIELD_OVERFLOW,
        format!("{name} must be finite"),
        "An infinite time has no age, and no distance to any other.",
        "Pass a time that comes, or leave it out to use its default.",
    ),
    NotPositive { name: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} must be positive, and at most 1000 years"),
        "It is the time from now on for which something lasts.",
        "For example: '1 hour'.",
    ),
    Jsonb { detail: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "a jsonb argument cannot be read",
        detail,
        "Objects and arrays may be nested up to 127 levels deep.",
    ),
    Catalog { message: String } => (
        ERRCODE_INTERNAL_ERROR,
        format!("cannot read the system catalogs: {message}"),
        "This should not happen.",
        "Report it as a bug of lockstep.",
    ),
}

impl ServerError {
    /// The error of a failed catalog read.
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

/// Checks a range whose ends are both included: the first must not be greater than the last.
pub fn check_range(first: (&'static str, i64), last: (&'static str, i64)) -> Result<()> {
    match first.1 <= last.1 {
        true => Ok(()),
        false => Err(ServerError::Range {
            first: first.0,
            last: last.0,
        }
        .into()),
    }
}

/// Checks that a time is neither `infinity` nor `-infinity`.
pub fn check_finite(time: &TimestampWithTimeZone, name: &'static str) -> Result<()> {
    match time.is_infinity() || time.is_neg_infinity() {
        false => Ok(()),
        true => Err(ServerError::Infinite { name }.into()),
    }
}

/// 1000 years in microseconds: it can be added to the time, and subtracted from it.
const LONGEST: i128 = 1000 * 366 * 24 * 3_600_000_000;

/// Checks a time for which something lasts. All fields of an infinite interval have their greatest values.
pub fn check_positive(span: &Interval, name: &'static str) -> Result<()> {
    match (1..=LONGEST).contains(&span.as_micros()) {
        true => Ok(()),
        false => Err(ServerError::NotPositive { name }.into()),
    }
}

/// An argument of an SQL function that is required.
#[track_caller]
pub fn required<T>(argument: Option<T>, name: &'static str) -> T {
    match argument {
        Some(value) => value,
        None => Error::from(ServerError::NullArgument { name }).raise(),
    }
}
