//! Errors, and how they are shown to a DBA.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_postgres::error::{DbError, SqlState};

use crate::settings::Problem;

/// The exit code after any of these errors.
pub(crate) const STATUS: u8 = 2;

/// The exit code after Ctrl-C or SIGTERM, as in shells.
pub(crate) const INTERRUPTED: u8 = 130;

/// Logs that something failed: what fails since the database is away is of no interest by itself.
macro_rules! complain {
    ($error:expr, $($rest:tt)+) => {
        match $error.is_outage() {
            true => tracing::debug!(error = %$error.report(), $($rest)+),
            false => tracing::warn!(error = %$error.report(), $($rest)+),
        }
    };
}
pub(crate) use complain;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the database URL is no connection string{0}")]
    Address(String),

    #[error("cannot connect to {server}")]
    Connect {
        server: String,
        source: tokio_postgres::Error,
    },

    #[error("the database answered with an error")]
    Database(#[from] tokio_postgres::Error),

    #[error("the database does not respond")]
    Silent,

    #[error("backfill run {run} of another job, \"{job}\", is {status} on table \"{table}\"")]
    Occupied {
        run: i64,
        job: String,
        table: String,
        status: String,
    },

    #[error("backfill run {run} is gone")]
    Gone { run: i64 },

    #[error("lost the connection, and could not reconnect within {seconds} s")]
    Lost {
        run: i64,
        seconds: u64,
        source: Box<Error>,
    },

    #[error("all sessions with the database are in use")]
    Busy,

    #[error("no session with the database: {0}")]
    Pool(String),

    #[error("unknown worker \"{name}\"")]
    Worker { name: String, known: String },

    #[error("the configuration is not valid{}", lines(.0))]
    Config(Vec<Problem>),

    #[error("cannot listen on {address}")]
    Listen {
        address: SocketAddr,
        source: std::io::Error,
    },

    #[error("cannot open the spool in {}: {reason}", directory.display())]
    Spool { directory: PathBuf, reason: String },

    #[error("{0} has ended")]
    Ended(&'static str),

    #[error("cannot count requests: {0}")]
    Metrics(String),

    #[error("cannot encrypt or decrypt a token: {0}")]
    Token(String),

    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),

    #[error("cannot read a certificate or key: {0}")]
    Certificate(String),

    #[error("the system refused")]
    System(#[from] std::io::Error),
}

/// The problems of each setting, one per line.
fn lines(problems: &[Problem]) -> String {
    let lines = problems.iter().map(|problem| format!("\n  {problem}"));
    lines.collect()
}

impl Error {
    /// Whether the connection is unusable, while a new one may work.
    pub(crate) fn is_lost_connection(&self) -> bool {
        match self {
            Self::Silent | Self::Connect { .. } => true,
            Self::Database(error) => match error.code() {
                Some(code) => code.code().starts_with("57P") || code.code().starts_with("08"),
                None => true,
            },
            _ => false,
        }
    }

    /// Whether the database has rejected the data, and would do so again.
    pub(crate) fn is_wrong_data(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        let is_of = |class: &&str| {
            error
                .code()
                .is_some_and(|code| code.code().starts_with(class))
        };
        ["21", "22", "23"].iter().any(is_of)
    }

    /// Whether the database is away, or has no time: whoever calls it notes that once for all.
    pub(crate) fn is_outage(&self) -> bool {
        let has_no_session = matches!(
            self,
            Self::Connect { .. } | Self::Silent | Self::Busy | Self::Pool(_)
        );
        has_no_session || self.is_lost_session()
    }

    /// Whether the same statement may succeed later, after somebody has corrected the database: what it lacks, privileges, resources,
    /// or locks that another transaction holds.
    pub(crate) fn is_temporary(&self) -> bool {
        let Self::Database(error) = self else {
            return true;
        };
        let is_of = |class: &&str| {
            error
                .code()
                .is_none_or(|code| code.code().starts_with(class))
        };
        let classes = [
            "08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58",
        ];
        classes.iter().any(is_of)
    }

    /// Whether the session is unusable, because the server has ended it or may no longer write. The query was not executed then;
    /// it may succeed in another session.
    pub(crate) fn is_lost_session(&self) -> bool {
        match self {
            Self::Database(error) => match error.code() {
                Some(code) => {
                    let class = code.code();
                    class.starts_with("57P")
                        || class.starts_with("08")
                        || *code == SqlState::READ_ONLY_SQL_TRANSACTION
                }
                None => {
                    let source = std::error::Error::source(error);
                    error.is_closed() || source.is_some_and(|source| source.is::<std::io::Error>())
                }
            },
            _ => false,
        }
    }

    /// Whether the next call needs another session: this one is lost, or still busy with a call nobody waits for.
    pub(crate) fn needs_new_session(&self) -> bool {
        matches!(self, Self::Silent | Self::Connect { .. }) || self.is_lost_session()
    }

    /// Whether other transactions or a lack of room are in the way just now.
    pub(crate) fn is_conflict(&self) -> bool {
        let code = self.database().map(|error| error.code().code());
        let is_of = |class: &&str| code.is_some_and(|code| code.starts_with(class));
        ["40", "53", "55", "57"].iter().any(is_of)
    }

    /// Whether the database refuses the call itself: a missing right, function or relation, or arguments that it cannot take.
    pub(crate) fn is_refused_call(&self) -> bool {
        let code = self.database().map(|error| error.code().code());
        code.is_some_and(|code| code.starts_with("42") || code.starts_with("22"))
    }

    /// The run that the table already has, if that is the error. Only the message contains its number.
    pub(crate) fn run_in_the_way(&self) -> Option<Option<i64>> {
        let error = self.database()?;
        if *error.code() != SqlState::OBJECT_IN_USE {
            return None;
        }
        let (_, rest) = error
            .message()
            .split_once(" backfill run ")
            .unwrap_or_default();
        let digits = rest
            .split(|letter: char| !letter.is_ascii_digit())
            .next()
            .unwrap_or_default();
        Some(digits.parse().ok())
    }

    pub(crate) fn has_code(&self, code: &SqlState) -> bool {
        self.database().is_some_and(|error| error.code() == code)
    }

    /// Whether the extension is missing, because its schema is.
    fn is_without_extension(&self) -> bool {
        let error = self.database();
        error.is_some_and(|error| {
            *error.code() == SqlState::INVALID_SCHEMA_NAME
                && error.message().contains("\"lockstep\"")
        })
    }

    fn database(&self) -> Option<&DbError> {
        match self {
            Self::Connect { source, .. } | Self::Database(source) => source.as_db_error(),
            Self::Lost { source, .. } => source.database(),
            _ => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Address(_) => Some(
                "It is postgres://user@host/database, or host=... dbname=... user=....".to_owned(),
            ),
            Self::Occupied { run, .. } => Some(format!(
                "A table has one run at a time. Wait for its end, or: select lockstep.cancel_backfill({run})."
            )),
            Self::Lost { run, .. } => Some(format!(
                "Run {run} continues by itself; see lockstep.backfill_progress, or run the same command again."
            )),
            Self::Database(_) if self.is_without_extension() => {
                Some("Create the extension in that database: create extension lockstep.".to_owned())
            }
            Self::Database(_) if self.has_code(&SqlState::UNDEFINED_FUNCTION) => Some(
                "The extension is older than this program: alter extension lockstep update."
                    .to_owned(),
            ),
            Self::Worker { known, .. } => Some(format!("It is one of {known}.")),
            Self::Config(_) => Some(
                "lockstep-sidecar serve --help lists all settings; lockstep-sidecar check validates them."
                    .to_owned(),
            ),
            Self::Spool { .. } => Some(
                "--spool (LOCKSTEP_SPOOL) must be an existing directory that this program may write to and no other process uses. \
                 If webhooks.redb in it is damaged, move it away: what it keeps is not published."
                    .to_owned(),
            ),
            Self::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Some("Another program listens there; choose another port with --listen.".to_owned())
            }
            _ => None,
        }
    }

    /// The error as lines for a terminal.
    pub(crate) fn report(&self) -> String {
        let mut text = String::from("error: ");
        // Writing to a String never fails.
        match (self, self.database()) {
            (Self::Database(_), Some(error)) => {
                let _ = write!(text, "{}", error.message());
            }
            (_, Some(error)) => {
                let _ = write!(text, "{self}: {}", error.message());
            }
            (_, None) => {
                let _ = write!(text, "{self}");
                let mut source = std::error::Error::source(self);
                while let Some(cause) = source {
                    let _ = write!(text, ": {cause}");
                    source = cause.source();
                }
            }
        }
        let database = self.database();
        let lines = [
            ("detail", database.and_then(DbError::detail)),
            ("hint", database.and_then(DbError::hint)),
            ("hint", self.hint().as_deref()),
        ]
        .map(|(name, line)| line.map(|line| format!("\n{name}: {line}")));
        text.extend(lines.into_iter().flatten());
        text
    }
}
