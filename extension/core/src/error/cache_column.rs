//! Errors of cache columns.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;
use pgrx::spi::{quote_identifier, quote_literal};

errors! {
    pub(crate) CacheColumnError:
    NotARowTrigger { trigger: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("trigger \"{trigger}\" does not fire as its function expects"),
        "The functions that note keys are for row triggers after insert, update or delete.",
        "Drop the trigger; only lockstep.add_cache_column and lockstep.attach install triggers.",
    ),
    NegativeLimit { rows: i64 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("max_rows must not be negative, but is {rows}"),
        "It is the maximum number of rows to write.",
        "Leave it out to repair all rows.",
    ),
    UnloggedSource { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("unlogged table \"{table}\" cannot be the source of a cache column"),
        "A crash empties an unlogged table, and no trigger fires.",
        format!("Make it permanent: alter table {table} set logged."),
    ),
    TargetColumnNotBoolean { table: String, column: String, actual: String } => (
        ERRCODE_DATATYPE_MISMATCH,
        format!(
            "cache column \"{column}\" of \"{table}\" is of type {actual}, not boolean"
        ),
        "A cache column says whether a matching source row exists.",
        format!("Add a boolean column: alter table {table} add column ... boolean."),
    ),
    TargetColumnGenerated { table: String, column: String } => (
        ERRCODE_WRONG_OBJECT_TYPE,
        format!("cache column \"{column}\" of \"{table}\" is a generated column"),
        "PostgreSQL computes generated columns itself; they cannot be written.",
        format!(
            "Drop the expression: alter table {table} alter column {column} drop expression."
        ),
    ),
    KeyWithoutIndex { table: String, column: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("no index on \"{table}\" starts with key column \"{column}\""),
        "Without one every change would read the whole source table.",
        format!(
            "Create one: create index concurrently on {table} ({}).",
            quote_identifier(&column)
        ),
    ),
    MatchNotObject { actual: &'static str } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("match must be a JSON object, not {actual}"),
        "A match names columns of the source and the constant that each must equal.",
        r#"For example: '{"active": true, "category": "issue_tracker"}'."#,
    ),
    MatchEmpty => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "match must name at least one column",
        "An empty match would count every source row.",
        r#"For example: '{"active": true}'."#,
    ),
    MatchNested { column: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("match for column \"{column}\" must be a constant, not an array or object"),
        "A match is a conjunction of column = constant.",
        "Use a string, a number or a boolean.",
    ),
    MatchNull { column: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("match for column \"{column}\" must not be null"),
        "Nothing equals null, so no row would ever match.",
        "Leave the column out, or name the constant it must equal.",
    ),
    ConstantType { column: String, expected: String, actual: String } => (
        ERRCODE_DATATYPE_MISMATCH,
        format!(
            "match for column \"{column}\" is a JSON {actual}, but the column is of type {expected}"
        ),
        "Booleans are matched by true or false, numbers by numbers, every other type by a string.",
        "Write the constant in the form of the column's type.",
    ),
    ConstantText { column: String, expected: String, message: String } => (
        ERRCODE_INVALID_TEXT_REPRESENTATION,
        format!("match for column \"{column}\" is not a value of type {expected}"),
        format!("PostgreSQL says: {message}."),
        "Write the constant in the form of the column's type.",
    ),
    MatchOnTargetColumn { column: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("match names the cache column \"{column}\" itself"),
        "Source and target are the same table, so the column would depend on itself.",
        "Match another column.",
    ),
    NoEquality { column: String, actual: String } => (
        ERRCODE_UNDEFINED_FUNCTION,
        format!(
            "match for column \"{column}\" is not possible: type {actual} has no equality operator"
        ),
        "A match is a conjunction of column = constant.",
        "Match a column of another type; for json use jsonb.",
    ),
    TypeNotBuiltIn { column: String, actual: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!(
            "match for column \"{column}\" is not possible: type {actual} is not built in"
        ),
        "User code for the type would run with every write to the table.",
        "Match a column of one of PostgreSQL's own types, or of an enum.",
    ),
    Duplicate { table: String, column: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("cache column \"{column}\" of \"{table}\" is already defined"),
        "A column can have one definition; lockstep.cache_columns lists it.",
        format!(
            "To change it, first call lockstep.remove_cache_column({}, {}).",
            quote_literal(&table),
            quote_literal(&column)
        ),
    ),
    NotDefined { table: String, column: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("column \"{column}\" of \"{table}\" is not a cache column"),
        "It has no definition.",
        "All cache columns are listed in lockstep.cache_columns.",
    ),
    DistributedParts { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("partitioned table \"{table}\" is distributed by Citus"),
        "Each partition is distributed by itself, and lockstep keeps cache columns of whole tables.",
        "Use tables without partitions, or tables that are local to one server.",
    ),
    DistributedAlways { table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("table \"{table}\" is distributed by Citus, where fire_always is not possible"),
        "When Citus moves a table, the rows reach the other server by replication, with the right values.",
        "Add the cache column without fire_always.",
    ),
    ShardsNotSeen { table: String, message: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the server of the shard of \"{table}\" cannot be asked for its triggers: {message}"),
        "Citus keeps the rows of the table there, and lockstep's triggers are on the shard.",
        "See to it that all servers run and have the files of this version of lockstep.",
    ),
    ShardsWithoutTriggers { table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("shards of the cache column's tables lack triggers, so rows of \"{table}\" cannot be repaired"),
        "A value that is written while other sessions write would not be looked at again.",
        "Call lockstep.attach first, which creates the triggers again.",
    ),
    NotInstalledOn { trigger: String, table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("trigger \"{trigger}\" is not one that lockstep installed on \"{table}\""),
        "The definition it names is of another table.",
        "If the table was restored or created again, call lockstep.attach, which installs its own; else drop the trigger.",
    ),
    OtherShardGone { table: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the other table of a cache column of \"{table}\" was dropped or has a new shard"),
        "The shard of a table is a new one after Citus has distributed it again, or no longer does, or has changed how its rows are stored.",
        "Call lockstep.attach on the coordinator for the schema, which installs the triggers again, or removes the cache column if the table was dropped; else call lockstep.remove_cache_column.",
    ),
    DefinitionMissing { id: i32 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("cache column definition {id} does not exist"),
        "A trigger of lockstep fired whose definition is not in lockstep_internal.cache_column_definition.",
        "Restore the definition, or drop the triggers named lockstep_* on this table and add the cache column again.",
    ),
    BadTriggerArgument { argument: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("trigger argument \"{argument}\" is not the number of a definition"),
        "Triggers of lockstep carry the number of their definition as their only argument.",
        "Drop the trigger; only lockstep.add_cache_column and lockstep.attach install triggers.",
    ),
    NotFlushed { keys: usize } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("{keys} noted keys of cache columns were not flushed"),
        "Row triggers noted changes, but the statement trigger lockstep_flush did not fire, so the cache columns would be wrong.",
        "Read state in lockstep.cache_columns. If the trigger lockstep_flush is disabled, enable it; else remove the cache column.",
    ),
    OldFunction => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "the lockstep library is newer than the extension in this database",
        "A function was called that this version no longer has.",
        "Run: alter extension lockstep update.",
    ),
}
