//! Errors of backfill jobs and their runs.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) BackfillError:
    Settings { reason: String, known: Vec<String> } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("settings of a backfill are not valid: {reason}"),
        format!("They are a JSON object of: {}.", known.join(", ")),
        r#"For example: '{"pause_ms": 100, "target_ms": 50}'."#,
    ),
    TooSmall { name: &'static str, least: i32, value: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("{name} must be at least {least}, but is {value}"),
        "It controls how a batch processes its rows.",
        "Leave it out for the default.",
    ),
    HoldFunction { name: String } => (
        ERRCODE_UNDEFINED_FUNCTION,
        format!(
            "hold_function \"{name}\" is not a function without arguments that returns text"
        ),
        "It is called before each sub-batch, and returns the reason to hold, or null to continue.",
        "Create it, and name it with its schema if that is not in your search_path.",
    ),
    Workers { workers: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("workers must be from 1 to 1024, but is {workers}"),
        "Each is a PostgreSQL background worker, and max_worker_processes limits their total number.",
        "One worker per spare core is enough.",
    ),
    NoSuchJob { job: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("backfill job \"{job}\" does not exist"),
        "It is neither a built-in job nor registered.",
        "Register it with lockstep.register_backfill_job; lockstep.backfill_job lists the registered jobs.",
    ),
    JobWithoutTable { job: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("the table of backfill job \"{job}\" does not exist"),
        "It was dropped or renamed, or it is missing where the job was restored.",
        "Call lockstep.unregister_backfill_job, as the role that owned the table or a member of lockstep_admin, and register the job again.",
    ),
    NotJobOwner { job: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must have the rights of the owner of the table of backfill job \"{job}\""),
        "The job runs as the owner of its table.",
        "Call it as that role, as a member of it, or as a superuser. If the table is gone, the role that owned it and members of lockstep_admin may remove the job.",
    ),
    JobExists { job: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("backfill job \"{job}\" already exists"),
        "It is built in or already registered.",
        "Choose another name, or call lockstep.unregister_backfill_job first.",
    ),
    JobName { job: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{job}\" is not a valid name for a backfill job"),
        "A name has up to 63 characters: a lower-case letter, then lower-case letters, digits and underscores.",
        "For example: fill_author_id.",
    ),
    Statement { reason: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("statement of a backfill job is not valid: {reason}"),
        "It must be a single update of the job's table with {range} as a condition: alone after WHERE, or combined with AND.",
        "For example: update events e set author_id = 1 where e.author_id is null and {range}.",
    ),
    KeyType { table: String, column: String, actual: String } => (
        ERRCODE_DATATYPE_MISMATCH,
        format!("key column \"{column}\" of \"{table}\" is of type {actual}"),
        "A backfill supports keys of integers, uuid, text, numeric, dates and timestamps.",
        "Name columns of these types that are unique together.",
    ),
    KeyNotInteger { job: String, table: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("backfill job \"{job}\" has no integer ids for a batch"),
        format!("The key of \"{table}\" is not a single integer column."),
        "Run the whole job: call lockstep.backfill, or lockstep.start_backfill.",
    ),
    NoPreview { job: String } => (
        ERRCODE_FEATURE_NOT_SUPPORTED,
        format!("backfill job \"{job}\" has no preview"),
        "Only service_accounts and cache_columns can tell what they would do without doing it.",
        format!(
            "Try a range of ids and roll back: begin; select * from lockstep.backfill_batch('{job}', 1, 1000); rollback;"
        ),
    ),
    Table { job: String, named: Option<String>, known: Vec<String> } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        match &named {
            Some(table) => {
                format!("backfill job \"{job}\" does not apply to table \"{table}\"")
            }
            None => format!("backfill job \"{job}\" needs the name of its table"),
        },
        match known.as_slice() {
            [] => "There is no table for it.".to_owned(),
            known => format!("It applies to: {}.", known.join(", ")),
        },
        "Name one of those, for example: call lockstep.backfill('cache_columns', 'public.projects').",
    ),
    TableHasRun { table: String, run: Option<(i64, &'static str)> } => (
        ERRCODE_OBJECT_IN_USE,
        match run {
            Some((run, status)) => format!(
                "table \"{table}\" already has backfill run {run}, which is {status}"
            ),
            None => format!("table \"{table}\" had another backfill run until just now"),
        },
        "A table can have one run at a time, so that runs do not wait for each other's rows.",
        match run {
            Some((run, "paused")) => format!(
                "Call lockstep.resume_backfill({run}) or lockstep.cancel_backfill({run})."
            ),
            Some((run, _)) => format!(
                "Wait until it ends (see lockstep.backfill_progress), or call lockstep.cancel_backfill({run})."
            ),
            None => "Try again.".to_owned(),
        },
    ),
    InTransactionBlock => (
        ERRCODE_ACTIVE_SQL_TRANSACTION,
        "lockstep.backfill cannot run inside a transaction block",
        "It commits after each sub-batch.",
        "Call it outside begin ... commit, or use lockstep.backfill_batch or lockstep.start_backfill.",
    ),
    NoSuchRun { run: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("backfill run {run} does not exist"),
        "No run has that number.",
        "All runs are listed in lockstep.backfill_progress.",
    ),
    NotRunOwner { run: i64 } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("must have the rights of the owner of the table of backfill run {run}"),
        "A run has the rights of its table's owner.",
        "Call it as that role, as a member of it, or as a superuser. If the table is gone, the role that owned it and members of lockstep_admin may cancel the run.",
    ),
    Status { run: i64, status: &'static str, done: &'static str } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("backfill run {run} is {status} and cannot be {done}"),
        "A running run can be paused, a paused one resumed, both can be cancelled; a failed one can be retried.",
        "See lockstep.backfill_progress.",
    ),
    NotFinished { run: i64, status: &'static str, set_aside: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("backfill run {run} did not finish: it is {status}"),
        format!("{set_aside} ranges are set aside; completed work is kept."),
        match status {
            "failed" => format!(
                "See their errors in lockstep.backfill_set_aside, then call lockstep.retry_backfill({run})."
            ),
            "paused" => format!("Resume it: lockstep.resume_backfill({run})."),
            _ => "Start another run when you are ready.".to_owned(),
        },
    ),
    NoWorkerLeft { started: i32, wanted: i32 } => (
        ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
        format!("only {started} of {wanted} background workers could be started"),
        "PostgreSQL has no free slot for more.",
        "Use fewer workers, or raise max_worker_processes, or call lockstep.backfill, which needs none.",
    ),
    OwnerChanged { table: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("table \"{table}\" has another owner than when its backfill started"),
        "A worker keeps the role of the owner for its whole life.",
        "Call lockstep.resume_backfill, which starts new workers.",
    ),
    Gone { run: i64 } => (
        ERRCODE_UNDEFINED_TABLE,
        format!("the table of backfill run {run} no longer exists"),
        "There is nothing left to do.",
        format!("End the run: lockstep.cancel_backfill({run})."),
    ),
}
