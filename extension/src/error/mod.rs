//! Every error a caller can meet: one variant each, with the SQLSTATE, DETAIL and HINT it is reported with.
//!
//! SQLSTATEs are PostgreSQL's own, so that a client can branch on them; names of tables and columns stand in the
//! DETAIL, because the error's name fields do not survive the way through a Rust frame.

mod backfill;
mod chatops;
mod delivery;
mod event;
mod feature;
mod integration;
mod job;
mod report;
mod slack;

pub(crate) use backfill::BackfillError;
pub(crate) use chatops::ChatopsError;
pub(crate) use delivery::DeliveryError;
pub(crate) use event::EventError;
pub(crate) use feature::FeatureError;
pub(crate) use integration::IntegrationError;
pub(crate) use job::JobError;
use pgrx::PgLogLevel;
use pgrx::pg_sys::panic::ErrorReport;
use report::Report;
pub(crate) use slack::SlackError;
use std::collections::TryReserveError;

/// What went wrong, told so that the reader knows what to do next.
#[derive(Debug)]
pub(crate) enum Error {
    OutOfMemory,
    NullArgument {
        name: &'static str,
    },
    NegativeLimit {
        rows: i64,
    },
    NotARowTrigger {
        trigger: String,
    },
    NoSuchSchema {
        schema: String,
    },
    NoSuchTable {
        oid: u32,
    },
    NoSuchColumn {
        table: String,
        column: String,
    },
    NotATable {
        table: String,
    },
    SystemTable {
        table: String,
    },
    TemporaryTable {
        table: String,
    },
    UnloggedSource {
        table: String,
    },
    ExtensionTable {
        table: String,
    },
    InheritanceParent {
        table: String,
    },
    TargetColumnNotBoolean {
        table: String,
        column: String,
        actual: String,
    },
    TargetColumnGenerated {
        table: String,
        column: String,
    },
    NoPrimaryKey {
        table: String,
    },
    CompositePrimaryKey {
        table: String,
        columns: String,
    },
    KeyType {
        table: String,
        column: String,
        actual: String,
    },
    KeyWithoutIndex {
        table: String,
        column: String,
    },
    MatchNotObject {
        actual: &'static str,
    },
    MatchEmpty,
    MatchNested {
        column: String,
    },
    MatchNull {
        column: String,
    },
    ConstantType {
        column: String,
        expected: String,
        actual: String,
    },
    ConstantText {
        column: String,
        expected: String,
        message: String,
    },
    MatchOnTargetColumn {
        column: String,
    },
    NoEquality {
        column: String,
        actual: String,
    },
    TypeNotBuiltIn {
        column: String,
        actual: String,
    },
    Duplicate {
        table: String,
        column: String,
    },
    NotDefined {
        table: String,
        column: String,
    },
    NotOwner {
        table: String,
        role: String,
    },
    MayNot {
        table: String,
        privilege: String,
    },
    RowSecurity {
        table: String,
    },
    SeveralOwners {
        tables: [String; 2],
    },
    OwnerMayNotRead {
        holder: String,
        owner: String,
        table: String,
    },
    HostTableMissing {
        schema: String,
        name: &'static str,
    },
    HostColumnType {
        table: String,
        column: String,
        actual: String,
        expected: &'static str,
    },
    NotAWorkflowTrigger {
        trigger: String,
        table: String,
    },
    NoSuchWorkflow {
        table: String,
        id: i64,
    },
    AccountOutOfRange {
        table: String,
        account: i64,
    },
    NotInstalledOn {
        trigger: String,
        table: String,
    },
    DefinitionMissing {
        id: i32,
    },
    BadTriggerArgument {
        argument: String,
    },
    NotFlushed {
        keys: usize,
    },
    KeyNotUnique {
        table: String,
        columns: String,
    },
    NotACopy,
    NoSuchRecord {
        what: String,
    },
    Keep {
        what: String,
    },
    Backfill(BackfillError),
    Chatops(ChatopsError),
    Event(EventError),
    Delivery(DeliveryError),
    Feature(FeatureError),
    Integration(IntegrationError),
    Job(JobError),
    Slack(SlackError),
    Catalog {
        message: String,
    },
}

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

impl From<ChatopsError> for Error {
    fn from(error: ChatopsError) -> Self {
        Self::Chatops(error)
    }
}

impl Error {
    /// Raises the error in PostgreSQL; the transaction or the enclosing savepoint is rolled back.
    #[track_caller]
    pub(crate) fn raise(self) -> ! {
        let Report {
            code,
            message,
            detail,
            hint,
        } = self.into_report();
        ErrorReport::new(code, message, "lockstep")
            .set_detail(detail)
            .set_hint(hint)
            .report(PgLogLevel::ERROR);
        unreachable!("a report at level ERROR does not return")
    }

    /// What went wrong, in one line.
    pub(crate) fn message(self) -> String {
        self.into_report().message
    }
}

/// What the functions of this crate that can fail return.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The one edge between Rust and PostgreSQL: the value, or the error raised.
pub(crate) trait OrRaise<T> {
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

/// The argument of an SQL function that does nothing without it.
#[track_caller]
pub(crate) fn required<T>(argument: Option<T>, name: &'static str) -> T {
    match argument {
        Some(value) => value,
        None => Error::NullArgument { name }.raise(),
    }
}
