//! Error reports in PostgreSQL's style: a message without a full stop, DETAIL and HINT as sentences.

use pgrx::PgLogLevel;
use pgrx::PgSqlErrorCode::{self, ERRCODE_SUCCESSFUL_COMPLETION};
use pgrx::pg_sys::panic::ErrorReport;
use std::any::Any;
use std::fmt::Debug;

/// The parts of a report.
pub struct Report {
    code: PgSqlErrorCode,
    message: String,
    detail: String,
    hint: String,
}

pub fn report(
    code: PgSqlErrorCode,
    message: impl Into<String>,
    detail: impl Into<String>,
    hint: impl Into<String>,
) -> Report {
    Report {
        code,
        message: message.into(),
        detail: detail.into(),
        hint: hint.into(),
    }
}

/// The errors of one topic.
pub trait Topic: Any + Debug {
    /// The report for this error.
    fn into_report(self: Box<Self>) -> Report;
}

/// Defines the errors of a topic: an enum, with the SQLSTATE, message, DETAIL and HINT of each variant.
#[macro_export]
macro_rules! errors {
    ($vis:vis $name:ident: $(
        $(#[$doc:meta])* $error:ident $({ $($field:ident: $type:ty),* $(,)? })? =>
            ($code:expr, $message:expr, $detail:expr, $hint:expr $(,)?),
    )*) => {
        #[derive(Debug)]
        $vis enum $name {
            $($(#[$doc])* $error $({ $($field: $type),* })?,)*
        }

        impl $crate::error::Topic for $name {
            fn into_report(self: Box<Self>) -> $crate::error::Report {
                match *self {
                    $(Self::$error $({ $($field),* })? => {
                        $crate::error::report($code, $message, $detail, $hint)
                    })*
                }
            }
        }
    };
}
pub(super) use errors;

/// An error of any topic.
#[derive(Debug)]
pub struct Error(Box<dyn Topic>);

impl<T: Topic> From<T> for Error {
    fn from(error: T) -> Self {
        Self(Box::new(error))
    }
}

impl Error {
    /// The error as one of topic `T`, if it is one.
    pub fn topic<T: Topic>(&self) -> Option<&T> {
        let error: &dyn Any = &*self.0;
        error.downcast_ref()
    }

    /// Raises the error in PostgreSQL, which rolls back the transaction or the enclosing savepoint.
    #[track_caller]
    pub fn raise(self) -> ! {
        let Report {
            code,
            message,
            detail,
            hint,
        } = self.0.into_report();
        ErrorReport::new(code, message, "lockstep")
            .set_detail(detail)
            .set_hint(hint)
            .report(PgLogLevel::ERROR);
        unreachable!("a report at level ERROR does not return")
    }

    /// The error message, in one line.
    pub fn message(self) -> String {
        self.0.into_report().message
    }
}

/// The result type of the fallible functions in this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The boundary between Rust and PostgreSQL: returns the value or raises the error.
pub trait OrRaise<T> {
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for Result<T> {
    #[track_caller]
    fn or_raise(self) -> T {
        match self {
            Ok(value) => value,
            Err(error) => error.raise(),
        }
    }
}

/// Sends a NOTICE to the client.
pub fn notice(message: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) {
    ErrorReport::new(ERRCODE_SUCCESSFUL_COMPLETION, message.into(), "lockstep")
        .set_detail(detail)
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}
