//! Errors about the application's tables, and about any table that a call names.

use super::report::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::quote_identifier;

errors! {
    pub HostError:
    NoSuchSchema { schema: String } => (
        ERRCODE_INVALID_SCHEMA_NAME,
        format!("schema \"{schema}\" does not exist"),
        "All of GitLab's tables must be in one schema.",
        "Name the schema that contains projects and integrations: select * from lockstep.attach('public').",
    ),
    NoSuchFeature { feature: String, known: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("there is no feature \"{feature}\""),
        format!("The features are: {known}."),
        "Leave the argument out to use all of them.",
    ),
    NoSuchTable { oid: u32 } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("relation with OID {oid} does not exist"),
        "It has been dropped.",
        "If a cache column refers to it, remove the definition with the table's former name: select lockstep.remove_cache_column(target, column); or call lockstep.attach.",
    ),
    NoSuchColumn { table: String, column: String } => (
        ERRCODE_UNDEFINED_COLUMN,
        format!("column \"{column}\" of relation \"{table}\" does not exist"),
        "The call or a cache column names it, or the table has it in GitLab.",
        "Check the spelling, and whether it was renamed or dropped. If a cache column refers to it, remove that and add it again.",
    ),
    NotATable { table: String } => (
        ERRCODE_WRONG_OBJECT_TYPE,
        format!("\"{table}\" is not a table"),
        "Source and target of a cache column must be ordinary or partitioned tables.",
        "Name the table behind a view; name the root of a partitioned table instead of a partition.",
    ),
    SystemTable { table: String } => (
        ERRCODE_WRONG_OBJECT_TYPE,
        format!("\"{table}\" is a system catalog"),
        "Source and target of a cache column must be tables of the application.",
        "Name a table of the application.",
    ),
    ExtensionTable { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" belongs to an extension"),
        "A dump leaves out the triggers of such a table, so a restored database would lose them.",
        "Use a table of the application.",
    ),
    CitusTable { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" is distributed by Citus"),
        "Its rows are on other servers, where lockstep keeps nothing but cache columns.",
        "Use tables that Citus does not distribute: select undistribute_table(...), or citus_schema_undistribute(...).",
    ),
    CitusApart { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" is distributed by Citus apart from the other table of the cache column"),
        "The shards of both must lie on one server wherever Citus moves them: only those of one schema that it distributes as a whole do.",
        "Distribute the schema: select citus_schema_distribute(...); or keep both tables on one server.",
    ),
    CitusWorker => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        "lockstep is used on the coordinator of Citus, and this server is a worker",
        "Its definitions, flags, jobs and deliveries are on the coordinator alone.",
        "Connect to the coordinator.",
    ),
    TemporaryTable { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("temporary table \"{table}\" cannot take part in a cache column"),
        "A definition outlives the session, a temporary table does not.",
        "Use a permanent table.",
    ),
    InheritanceParent { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" has inheritance children"),
        "Triggers of the parent do not fire for rows of its children, so their changes would be missed.",
        "Use declarative partitioning, or a source without children.",
    ),
    InheritanceChild { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" inherits from another table"),
        "Statements on the parent write its rows as well, and fire the statement triggers of the parent alone.",
        format!("Use declarative partitioning, or take it out: alter table {table} no inherit ..."),
    ),
    PartitionOwner { partition: String, owner: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("partition \"{partition}\" belongs to another role"),
        format!("Triggers of the whole table are created on its partitions as well, and role \"{owner}\", which owns the table, may not do that."),
        format!("Let one role own all: alter table {partition} owner to {}.", quote_identifier(&owner)),
    ),
    Deferrable { table: String, constraint: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("deferrable constraint \"{constraint}\" of table \"{table}\" refuses lockstep's writes"),
        "PostgreSQL does not let code that acts for the owner of a table put off a check or a trigger to the end of the transaction.",
        format!(
            "Make it not deferrable: alter table {table} alter constraint {} not deferrable. A constraint trigger has to be created again.",
            quote_identifier(&constraint)
        ),
    ),
    ForeignPartition { partition: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("partition \"{partition}\" is a foreign table"),
        "Its rows are on another server, where other sessions change them without any trigger here.",
        "Detach it, or name tables without foreign partitions.",
    ),
    TriggerName { table: String, trigger: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("trigger \"{trigger}\" of table {table} does not belong to lockstep"),
        "Names that begin with lockstep_ are those of its own triggers.",
        format!("Rename it: alter trigger {} on {table} rename to ...", quote_identifier(trigger)),
    ),
    PartitionTrigger { table: String, trigger: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("trigger \"{trigger}\" of partition {table} is from before it was one"),
        "The triggers of the whole table would have the same names.",
        "Call lockstep.attach; if that does not move the partition's cache columns, remove them: select lockstep.remove_cache_column(target, column).",
    ),
    NoPrimaryKey { table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("target table \"{table}\" has no primary key"),
        "Source rows refer to their target row by its primary key.",
        format!("Add one: alter table {table} add primary key (id)."),
    ),
    CompositePrimaryKey { table: String, columns: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("target table \"{table}\" has a primary key of several columns"),
        format!("The primary key is ({columns}); a source key is one column."),
        "Use a target whose primary key is a single integer column.",
    ),
    KeyType { table: String, column: String, actual: String } => (
        ERRCODE_DATATYPE_MISMATCH,
        format!("key column \"{column}\" of \"{table}\" is of type {actual}"),
        "The source's key and the target's primary key must be smallint, integer or bigint.",
        "Name the column that holds the primary key of the target row.",
    ),
    KeyNotUnique { table: String, columns: String } => (
        ERRCODE_INVALID_COLUMN_REFERENCE,
        format!("({columns}) is not a unique key of \"{table}\""),
        "A valid unique index must have exactly these columns in this order, and none may be nullable.",
        format!("Create one: create unique index concurrently on {table} ({columns})."),
    ),
    NotOwner { table: String, role: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must be owner of table \"{table}\""),
        format!(
            "Role \"{role}\" is not a member of the role that owns it; lockstep installs triggers there or writes its rows."
        ),
        "Call it as the owner of the tables, or as a superuser.",
    ),
    MayNot { table: String, privilege: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied for table {table}"),
        format!("You lack the privilege {privilege}, on the table or on its schema."),
        "Grant it, or call the function as another role.",
    ),
    RowSecurity { table: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("row security of table {table} applies to you"),
        "The function reads or writes the table with its owner's rights, which would bypass the policies.",
        "Call it as a role that row security does not apply to.",
    ),
    SeveralOwners { one: String, other: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("tables {one} and {other} do not have the same owner"),
        "They are read together with their owner's rights, so one owner's code on a table would run as the other.",
        "Let one role own both: alter table ... owner to ...",
    ),
    OwnerMayNotRead { holder: String, owner: String, table: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("owner of table \"{holder}\" may not read table \"{table}\""),
        format!(
            "Values in \"{holder}\" come from \"{table}\", so role \"{owner}\" would see data that it may not read."
        ),
        format!(
            "Allow it: grant select on {table} to {}.",
            quote_identifier(&owner)
        ),
    ),
    HostTableMissing { schema: String, name: &'static str } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("schema {schema} has no table {name}"),
        "All tables that determine a workflow's service account must be in one schema.",
        "Name the schema that contains GitLab's tables; if the table was removed, call lockstep.detach_service_accounts.",
    ),
    HostColumnType { table: String, column: String, actual: String, expected: &'static str } => (
        ERRCODE_DATATYPE_MISMATCH,
        format!("column \"{column}\" of \"{table}\" is of type {actual}, not {expected}"),
        "Another type may run its owner's code when it is read or written.",
        format!("Change its type to {expected}, as in GitLab."),
    ),
}
