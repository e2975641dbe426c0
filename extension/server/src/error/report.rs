//! How errors are told, in PostgreSQL's style: a message without a full stop, DETAIL and HINT as sentences.

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

/// The errors of a topic.
pub trait Topic: Any + Debug {
    /// What is said of it.
    fn into_report(self: Box<Self>) -> Report;
}

/// The errors of a topic: an enum, and the SQLSTATE, message, DETAIL and HINT of each.
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

/// What went wrong, told so that the reader knows what to do next.
#[derive(Debug)]
pub struct Error(Box<dyn Topic>);

impl<T: Topic> From<T> for Error {
    fn from(error: T) -> Self {
        Self(Box::new(error))
    }
}

impl Error {
    /// The error as one of a topic, if it is that.
    pub fn topic<T: Topic>(&self) -> Option<&T> {
        let error: &dyn Any = &*self.0;
        error.downcast_ref()
    }

    /// Raises the error in PostgreSQL; the transaction or the enclosing savepoint is rolled back.
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

    /// What went wrong, in one line.
    pub fn message(self) -> String {
        self.0.into_report().message
    }
}

/// What the functions of this crate that can fail return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The one edge between Rust and PostgreSQL: the value, or the error raised.
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

/// Tells whoever calls, without a need to do anything.
pub fn notice(message: impl Into<String>, detail: impl Into<String>, hint: impl Into<String>) {
    ErrorReport::new(ERRCODE_SUCCESSFUL_COMPLETION, message.into(), "lockstep")
        .set_detail(detail)
        .set_hint(hint)
        .report(PgLogLevel::NOTICE);
}
