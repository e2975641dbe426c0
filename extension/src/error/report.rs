//! What each error says, in PostgreSQL's style: a message without a full stop, DETAIL and HINT as sentences.

use super::Error;
use pgrx::PgSqlErrorCode::{self, *};
use pgrx::spi::{quote_identifier, quote_literal};

/// The parts of a report.
pub(super) struct Report {
    pub(super) code: PgSqlErrorCode,
    pub(super) message: String,
    pub(super) detail: String,
    pub(super) hint: String,
}

pub(super) fn report(
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

/// The errors of a topic: an enum, and the SQLSTATE, message, DETAIL and HINT of each.
macro_rules! errors {
    ($name:ident in $topic:ident: $(
        $(#[$doc:meta])* $error:ident $({ $($field:ident: $type:ty),* $(,)? })? =>
            ($code:expr, $message:expr, $detail:expr, $hint:expr $(,)?),
    )*) => {
        #[derive(Debug)]
        pub(crate) enum $name {
            $($(#[$doc])* $error $({ $($field: $type),* })?,)*
        }

        impl $name {
            pub(super) fn into_report(self) -> super::report::Report {
                match self {
                    $(Self::$error $({ $($field),* })? => {
                        super::report::report($code, $message, $detail, $hint)
                    })*
                }
            }
        }

        impl From<$name> for super::Error {
            fn from(error: $name) -> Self {
                Self::$topic(error)
            }
        }
    };
}
pub(super) use errors;

impl Error {
    pub(super) fn into_report(self) -> Report {
        match self {
            Self::OutOfMemory => report(
                ERRCODE_OUT_OF_MEMORY,
                "out of memory",
                "The keys of the rows that a statement changes are kept until it ends.",
                "Change fewer rows in one statement.",
            ),
            Self::NullArgument { name } => report(
                ERRCODE_NULL_VALUE_NOT_ALLOWED,
                format!("{name} must not be null"),
                "The call does nothing without it.",
                "Give it a value, or leave it out where it has a default.",
            ),
            Self::NegativeLimit { rows } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("max_rows must not be negative, but is {rows}"),
                "It is the number of rows that are written at most.",
                "Leave it out to repair all rows.",
            ),
            Self::NotARowTrigger { trigger } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("trigger \"{trigger}\" does not fire as its function expects"),
                "The functions that note keys are for row triggers after insert, update or delete.",
                "Drop the trigger; triggers are installed by lockstep.add_cache_column and lockstep.attach alone.",
            ),
            Self::NoSuchSchema { schema } => report(
                ERRCODE_INVALID_SCHEMA_NAME,
                format!("schema \"{schema}\" does not exist"),
                "The host's tables are looked for in one schema.",
                "Name the schema that holds projects and integrations: select * from lockstep.attach('public').",
            ),
            Self::NoSuchTable { oid } => report(
                ERRCODE_UNDEFINED_TABLE,
                format!("relation with OID {oid} does not exist"),
                "A cache column refers to a table that has been dropped.",
                "Remove the definition: select lockstep.remove_cache_column(target, column), with the name that the table had; or call lockstep.attach.",
            ),
            Self::NoSuchColumn { table, column } => report(
                ERRCODE_UNDEFINED_COLUMN,
                format!("column \"{column}\" of relation \"{table}\" does not exist"),
                format!("A cache column refers to column \"{column}\" of table {table}."),
                "Check the spelling; after a column was renamed or dropped, remove the cache column and add it again.",
            ),
            Self::NotATable { table } => report(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{table}\" is not a table"),
                "Source and target of a cache column are ordinary or partitioned tables.",
                "Name the table behind a view; name the root of a partitioned table instead of a partition.",
            ),
            Self::SystemTable { table } => report(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("\"{table}\" is a system catalog"),
                "Source and target of a cache column are tables of the application.",
                "Name a table of the application.",
            ),
            Self::UnloggedSource { table } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("unlogged table \"{table}\" cannot be the source of a cache column"),
                "A crash empties an unlogged table, and no trigger fires.",
                format!("Make it permanent: alter table {table} set logged."),
            ),
            Self::ExtensionTable { table } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("table \"{table}\" belongs to an extension"),
                "A dump leaves out the triggers of such a table, so a restored database would lose them.",
                "Use a table of the application.",
            ),
            Self::TemporaryTable { table } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("temporary table \"{table}\" cannot take part in a cache column"),
                "A definition outlives the session, a temporary table does not.",
                "Use a permanent table.",
            ),
            Self::InheritanceParent { table } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("table \"{table}\" has inheritance children"),
                "Triggers of the parent do not fire for rows of its children, so their changes would be missed.",
                "Use declarative partitioning, or a source without children.",
            ),
            Self::TargetColumnNotBoolean {
                table,
                column,
                actual,
            } => report(
                ERRCODE_DATATYPE_MISMATCH,
                format!(
                    "cache column \"{column}\" of \"{table}\" is of type {actual}, not boolean"
                ),
                "A cache column says whether a matching source row exists.",
                format!("Add a boolean column: alter table {table} add column ... boolean."),
            ),
            Self::TargetColumnGenerated { table, column } => report(
                ERRCODE_WRONG_OBJECT_TYPE,
                format!("cache column \"{column}\" of \"{table}\" is a generated column"),
                "PostgreSQL computes generated columns itself and lets nobody write them.",
                format!(
                    "Drop the expression: alter table {table} alter column {column} drop expression."
                ),
            ),
            Self::NoPrimaryKey { table } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("target table \"{table}\" has no primary key"),
                "Source rows name their target row by its primary key.",
                format!("Add one: alter table {table} add primary key (id)."),
            ),
            Self::CompositePrimaryKey { table, columns } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!("target table \"{table}\" has a primary key of several columns"),
                format!("The primary key is ({columns}); a source key is one column."),
                "Use a target whose primary key is a single integer column.",
            ),
            Self::KeyType {
                table,
                column,
                actual,
            } => report(
                ERRCODE_DATATYPE_MISMATCH,
                format!("key column \"{column}\" of \"{table}\" is of type {actual}"),
                "The source's key and the target's primary key are both smallint, integer or bigint.",
                "Name the column that holds the primary key of the target row.",
            ),
            Self::KeyWithoutIndex { table, column } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("no index on \"{table}\" starts with key column \"{column}\""),
                "Without one every change would read the whole source table.",
                format!(
                    "Create one: create index concurrently on {table} ({}).",
                    quote_identifier(&column)
                ),
            ),
            Self::MatchNotObject { actual } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("match must be a JSON object, not {actual}"),
                "A match names columns of the source and the constant that each must equal.",
                r#"For example: '{"active": true, "category": "issue_tracker"}'."#,
            ),
            Self::MatchEmpty => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                "match must name at least one column",
                "An empty match would count every source row.",
                r#"For example: '{"active": true}'."#,
            ),
            Self::MatchNested { column } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("match for column \"{column}\" must be a constant, not an array or object"),
                "A match is a conjunction of column = constant.",
                "Use a string, a number or a boolean.",
            ),
            Self::MatchNull { column } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("match for column \"{column}\" must not be null"),
                "Nothing equals null, so no row would ever match.",
                "Leave the column out, or name the constant it must equal.",
            ),
            Self::ConstantType {
                column,
                expected,
                actual,
            } => report(
                ERRCODE_DATATYPE_MISMATCH,
                format!(
                    "match for column \"{column}\" is a JSON {actual}, but the column is of type {expected}"
                ),
                "Booleans are matched by true or false, numbers by numbers, every other type by a string.",
                "Write the constant in the form of the column's type.",
            ),
            Self::ConstantText {
                column,
                expected,
                message,
            } => report(
                ERRCODE_INVALID_TEXT_REPRESENTATION,
                format!("match for column \"{column}\" is no value of type {expected}"),
                format!("PostgreSQL says: {message}."),
                "Write the constant in the form of the column's type.",
            ),
            Self::MatchOnTargetColumn { column } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("match names the cache column \"{column}\" itself"),
                "Source and target are the same table, so the column would depend on itself.",
                "Match another column.",
            ),
            Self::NoEquality { column, actual } => report(
                ERRCODE_UNDEFINED_FUNCTION,
                format!(
                    "match for column \"{column}\" is not possible: type {actual} has no equality operator"
                ),
                "A match is a conjunction of column = constant.",
                "Match a column of another type; for json use jsonb.",
            ),
            Self::TypeNotBuiltIn { column, actual } => report(
                ERRCODE_FEATURE_NOT_SUPPORTED,
                format!(
                    "match for column \"{column}\" is not possible: type {actual} is not built in"
                ),
                "Code that somebody wrote for a type of his own would run with every write of the table.",
                "Match a column of one of PostgreSQL's own types, or of an enum.",
            ),
            Self::Duplicate { table, column } => report(
                ERRCODE_DUPLICATE_OBJECT,
                format!("cache column \"{column}\" of \"{table}\" is defined already"),
                "A column has one definition; lockstep.cache_columns lists it.",
                format!(
                    "To change it, first call lockstep.remove_cache_column({}, {}).",
                    quote_literal(&table),
                    quote_literal(&column)
                ),
            ),
            Self::NotDefined { table, column } => report(
                ERRCODE_UNDEFINED_OBJECT,
                format!("column \"{column}\" of \"{table}\" is not a cache column"),
                "No definition names it.",
                "See lockstep.cache_columns for those there are.",
            ),
            Self::NotOwner { table, role } => report(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("must be owner of table \"{table}\""),
                format!(
                    "Role \"{role}\" is not a member of the role that owns it; lockstep installs triggers there or writes its rows."
                ),
                "Call it as the owner of the tables, or as a superuser.",
            ),
            Self::MayNot { table, privilege } => report(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("permission denied for table {table}"),
                format!("You lack the privilege {privilege}, on the table or on its schema."),
                "Grant it, or call the function as another role.",
            ),
            Self::RowSecurity { table } => report(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("row security of table {table} applies to you"),
                "The function reads or writes the table with the rights of its owner, which would pass over the policies for you.",
                "Call it as a role that row security does not apply to.",
            ),
            Self::SeveralOwners {
                tables: [one, other],
            } => report(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("tables {one} and {other} do not have the same owner"),
                "They are read together with the rights of their owner, so what one owner has put on his table would run as the other.",
                "Let one role own both: alter table ... owner to ...",
            ),
            Self::OwnerMayNotRead {
                holder,
                owner,
                table,
            } => report(
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                format!("owner of table \"{holder}\" may not read table \"{table}\""),
                format!(
                    "What is filled in \"{holder}\" comes from \"{table}\", so role \"{owner}\" would learn what it may not read."
                ),
                format!(
                    "Allow it: grant select on {table} to {}.",
                    quote_identifier(&owner)
                ),
            ),
            Self::HostTableMissing { schema, name } => report(
                ERRCODE_UNDEFINED_TABLE,
                format!("schema {schema} has no table {name}"),
                "The service account of a workflow comes from the tables of one schema.",
                "Name the schema that holds the host's tables; if the table is gone for good, call lockstep.detach_service_accounts.",
            ),
            Self::HostColumnType {
                table,
                column,
                actual,
                expected,
            } => report(
                ERRCODE_DATATYPE_MISMATCH,
                format!("column \"{column}\" of \"{table}\" is of type {actual}, not {expected}"),
                "What another type does when it is read or written is up to whoever made it.",
                format!("Change its type to {expected}, as the host has it."),
            ),
            Self::NotAWorkflowTrigger { trigger, table } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("trigger \"{trigger}\" is not one that lockstep installed on \"{table}\""),
                "Its function fills the service account of new rows of duo_workflows_workflows, before insert.",
                "Drop the trigger; it is installed by lockstep.attach alone.",
            ),
            Self::NoSuchWorkflow { table, id } => report(
                ERRCODE_NO_DATA_FOUND,
                format!("workflow {id} does not exist"),
                format!("Table {table} has no row of that id that the caller may see."),
                "Check the id, and the schema if the host's tables are in another than public.",
            ),
            Self::AccountOutOfRange { table, account } => report(
                ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                format!("service account {account} does not fit into table \"{table}\""),
                "Its column service_account_id is of a narrower type than that of the consumers.",
                format!(
                    "Widen it: alter table {table} alter column service_account_id type bigint."
                ),
            ),
            Self::NotInstalledOn { trigger, table } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("trigger \"{trigger}\" is not one that lockstep installed on \"{table}\""),
                "The definition it names has another source table.",
                "Drop the trigger; triggers are installed by lockstep.add_cache_column and lockstep.attach alone.",
            ),
            Self::DefinitionMissing { id } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("cache column definition {id} does not exist"),
                "A trigger of lockstep fired whose definition is not in lockstep.cache_column_definition.",
                "Restore the definition, or drop the triggers named lockstep_* on this table and add the cache column again.",
            ),
            Self::BadTriggerArgument { argument } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("trigger argument \"{argument}\" is not the number of a definition"),
                "Triggers of lockstep carry the number of their definition as their only argument.",
                "Drop the trigger; triggers are installed by lockstep.add_cache_column and lockstep.attach alone.",
            ),
            Self::NotFlushed { keys } => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("{keys} noted keys of cache columns were not flushed"),
                "Row triggers noted changes, but the statement trigger lockstep_flush did not fire, so the cache columns would be wrong.",
                "Enable the trigger lockstep_flush, or remove the cache column and add it again.",
            ),
            Self::KeyNotUnique { table, columns } => report(
                ERRCODE_INVALID_COLUMN_REFERENCE,
                format!("({columns}) is not a unique key of \"{table}\""),
                "The columns of a key are, in this order, those of a valid unique index, and none of them is nullable.",
                format!("Create one: create unique index concurrently on {table} ({columns})."),
            ),
            Self::NotACopy => report(
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                "nothing is held in this database",
                "Jobs and deliveries are dropped in a database only that was restored from a dump or made from a template.",
                "To drop a single job, call lockstep.discard_job.",
            ),
            Self::NoSuchRecord { what } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("there are no records \"{what}\""),
                "Records that can be kept for a time are feature_audit, chatops_command, integration_event and dead_job.",
                "See lockstep.retentions.",
            ),
            Self::Keep { what } => report(
                ERRCODE_INVALID_PARAMETER_VALUE,
                format!("cannot keep records \"{what}\" for no time"),
                "What is older than the time is removed.",
                "Give a time above 0, such as interval '90 days', or null to keep them for ever.",
            ),
            Self::Backfill(error) => error.into_report(),
            Self::Chatops(error) => error.into_report(),
            Self::Event(error) => error.into_report(),
            Self::Delivery(error) => error.into_report(),
            Self::Feature(error) => error.into_report(),
            Self::Integration(error) => error.into_report(),
            Self::Job(error) => error.into_report(),
            Self::Slack(error) => error.into_report(),
            Self::Catalog { message } => report(
                ERRCODE_INTERNAL_ERROR,
                format!("cannot read the system catalogs: {message}"),
                "This should not happen.",
                "Report it as a bug of lockstep.",
            ),
        }
    }
}
