//! The result of a command in one environment.

use serde_json::Value;
use tokio_postgres::error::{DbError, SqlState};

use super::environment::Name;
use crate::error::{Error, complain};
use crate::http::note_failure;
use crate::slack::{code, escape, shorten};

#[derive(Debug)]
pub(super) enum Outcome {
    Done(Value),
    /// An earlier delivery of the command did it.
    Repeated(Value),
    /// Nothing was changed, for a reason that users understand.
    Refused(String),
    /// Nothing was changed.
    Unreachable,
    /// Nothing was changed, because too many other commands are running.
    Busy,
    /// It is unknown whether it was done.
    Unknown,
    /// Nothing was changed, because of a database error.
    Failed,
}

impl Outcome {
    /// Of a change: the database returns whether it was done before, and the result.
    pub(super) fn of_change(name: Name, answered: Result<Value, Error>) -> Self {
        match answered {
            Ok(mut answer) => {
                let result = answer["result"].take();
                match answer["repeated"].as_bool() {
                    Some(true) => Self::Repeated(result),
                    _ => Self::Done(result),
                }
            }
            Err(error) => Self::of_error(name, &error),
        }
    }

    pub(super) fn of_error(name: Name, error: &Error) -> Self {
        let environment = name.text();
        complain!(error, environment, "a chatops command failed");
        let outcome = match error {
            Error::Busy => Self::Busy,
            Error::Connect { .. } | Error::Pool(_) => Self::Unreachable,
            Error::Database(error) => match error.as_db_error() {
                Some(error) => Self::of_database(error),
                None => Self::Unknown,
            },
            _ => Self::Unknown,
        };
        // The others say themselves what is wrong.
        if matches!(outcome, Self::Unreachable | Self::Unknown | Self::Failed) {
            note_failure();
        }
        outcome
    }

    fn of_database(error: &DbError) -> Self {
        let code = error.code();
        if OWN.contains(code) {
            let detail = error.detail().unwrap_or_default();
            return Self::Refused(format!(
                "{}. {}",
                escape(&shorten(error.message(), LONGEST_MESSAGE)),
                escape(&shorten(detail, 400))
            ));
        }
        if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            return Self::Refused(format!(
                "the role of chatops may not do that there: {}",
                escape(&shorten(error.message(), 400))
            ));
        }
        let known = KNOWN.iter().find(|(known, _)| known == code);
        match known {
            Some((_, words)) => Self::Refused((*words).to_owned()),
            // The server is shutting down or lost the session: it may have committed before.
            None if code.code().starts_with("08") || code.code().starts_with("57P") => {
                Self::Unknown
            }
            None => Self::Failed,
        }
    }

    /// Why nothing was changed there, or which command shows whether it was; None if it was.
    pub(super) fn trouble(&self, name: Name, look: &str) -> Option<String> {
        let name = name.text();
        match self {
            Self::Done(_) | Self::Repeated(_) => None,
            Self::Refused(why) => Some(format!(":x: {name}: nothing was changed: {why}")),
            Self::Unreachable => Some(format!(
                ":warning: {name}: unreachable, so nothing was changed there"
            )),
            Self::Busy => Some(format!(
                ":hourglass: {name}: too many commands at once, so nothing was changed there; try again in a moment"
            )),
            Self::Unknown => Some(format!(
                ":warning: {name}: no response, so it may have been done or not: check with {}",
                code(look)
            )),
            Self::Failed => Some(format!(
                ":warning: {name}: the database reported an error, so nothing was changed there"
            )),
        }
    }

    /// The same for a read-only command.
    pub(super) fn silence(&self, name: Name) -> String {
        let name = name.text();
        match self {
            Self::Refused(why) => format!(":x: {name}: {why}"),
            Self::Unreachable => format!(":warning: {name}: unreachable"),
            Self::Busy => {
                format!(":hourglass: {name}: too many commands at once; try again in a moment")
            }
            _ => format!(":warning: {name}: does not respond at the moment"),
        }
    }
}

/// lockstep's functions shorten names themselves; other messages may contain a long text from a user.
const LONGEST_MESSAGE: usize = 1_500;

/// SQLSTATEs with which lockstep's functions say what users can do about it.
const OWN: [SqlState; 10] = [
    SqlState::INVALID_PARAMETER_VALUE,
    SqlState::INVALID_NAME,
    SqlState::INVALID_SCHEMA_NAME,
    SqlState::NO_DATA_FOUND,
    SqlState::NULL_VALUE_NOT_ALLOWED,
    SqlState::OBJECT_IN_USE,
    SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    SqlState::UNDEFINED_COLUMN,
    SqlState::UNDEFINED_OBJECT,
    SqlState::UNDEFINED_TABLE,
];

const KNOWN: [(SqlState, &str); 5] = [
    (
        SqlState::UNDEFINED_FUNCTION,
        "the extension there is older than this program",
    ),
    (
        SqlState::LOCK_NOT_AVAILABLE,
        "others are working there; try again in a moment",
    ),
    (
        SqlState::T_R_DEADLOCK_DETECTED,
        "others are working there; try again in a moment",
    ),
    (
        SqlState::T_R_SERIALIZATION_FAILURE,
        "others are working there; try again in a moment",
    ),
    (
        SqlState::READ_ONLY_SQL_TRANSACTION,
        "the database there is a standby",
    ),
];
