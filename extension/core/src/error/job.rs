//! Errors of jobs, their runners and their workers' names.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) JobError:
    WorkerName { worker: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{worker}\" is not a name for a worker"),
        "A name has from 1 to 255 characters.",
        "For example: Integrations::ExecuteWorker.",
    ),
    NoSuchWorker { worker: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("worker \"{worker}\" does not exist"),
        "No job has that name, nor does a definition or a rename.",
        "See lockstep.worker_status for those there are.",
    ),
    UniqueKey => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "unique_key must not be empty",
        "As long as a job with a key waits or runs, no other job of the worker with that key is enqueued.",
        "Leave it out, or pass null, for a job that may be there more than once.",
    ),
    LongKey => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "unique_key must not have more than 255 characters",
        "It is part of an index.",
        "Pass a digest of what it is made of, for example pg_catalog.md5(...).",
    ),
    RunnerName => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "name must not have more than 255 characters",
        "It is what a runner is found by.",
        "For example: host and number of the process.",
    ),
    /// The runner belongs to another role.
    RunnerDenied { runner: i64, role: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied for runner {runner}"),
        format!("It was begun by role \"{role}\"."),
        "Call lockstep.start_runner for one of your own.",
    ),
    /// The calling role does not run the worker.
    WorkerDenied { worker: String, only: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to run worker \"{worker}\""),
        format!("The runner's role may run only workers whose names begin with {only}, as lockstep_internal.runner_limit says."),
        "Let a role that is no member run the others.",
    ),
    Retries { retries: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("retries must be from 0 to 100, but is {retries}"),
        "So often is a job that fails tried again, at growing intervals: 25 times take three weeks.",
        "3 gives up after two minutes or so.",
    ),
    Lease => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "lease_for must be from one second to 24 hours",
        "A runner that is not heard of for so long is given up, and others take over its jobs.",
        "For example: '30 seconds', with a heartbeat every ten.",
    ),
    RetryAfter => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "retry_after must not be negative",
        "It is the time until the job is tried again.",
        "Leave it out, or pass null, for an interval that grows with each failure.",
    ),
    Most { most: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("most must be from 1 to 10000, but is {most}"),
        "It is how many jobs are claimed at once, and kept from other runners.",
        "Claim as many as can be done within a second or so.",
    ),
    RunnerLost { runner: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("runner {runner} does not exist, or its lease has ended"),
        "If it had jobs, others do them now.",
        "Call lockstep.start_runner for a new number.",
    ),
    NotRunners { runner: i64, job: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("job {job} is not one that runner {runner} has"),
        "Either it was handed in already, or the runner's lease has ended and the job is another's.",
        "Undo what was done for it, if that can be: it may be done again.",
    ),
    NotDead { job: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("there is no dead job {job}"),
        "Only a job that failed for good can be tried again by hand.",
        "See lockstep.dead_jobs for those there are.",
    ),
    KeyTaken { job: i64, key: String } => (
        ERRCODE_UNIQUE_VIOLATION,
        format!("dead job {job} cannot be tried again: another job has its unique key"),
        format!("The key is \"{key}\"; the other job waits or runs."),
        "Discard the dead one, or try it again once the other is done.",
    ),
    NotDiscardable { job: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("there is no job {job} that could be discarded"),
        "It is done already, or is being run.",
        "See lockstep.dead_jobs for those that failed for good.",
    ),
    Rename { old: String, new: String, reason: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("worker \"{old}\" cannot be renamed to \"{new}\": {reason}"),
        "A name leads to one other name, and to it leads one.",
        "See renamed_to in lockstep.worker_status for the renames there are, and lockstep.remove_worker_rename to undo one.",
    ),
    NotRenamed { worker: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("worker \"{worker}\" is not the old name of a renamed worker"),
        "Nothing would take its place.",
        "See renamed_to in lockstep.worker_status for the renames there are.",
    ),
    BuiltInRename { worker: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the rename of worker \"{worker}\" comes with lockstep"),
        "It would be there again in a restored database.",
        "Leave its feature off; then jobs are enqueued under the old name.",
    ),
    RenameNotOn { worker: String, feature: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!(
            "worker \"{worker}\" cannot be retired: feature \"{feature}\" is not fully on"
        ),
        "Jobs are still enqueued under the old name.",
        format!(
            "Turn it on, wait until the worker has drained, then retire it: select lockstep.set_feature({}, true).",
            pgrx::spi::quote_literal(&feature)
        ),
    ),
    NotDrained { worker: String, jobs: [i64; 3] } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("worker \"{worker}\" cannot be retired: jobs under that name remain"),
        format!("Enqueued: {}, running: {}, dead: {}.", jobs[0], jobs[1], jobs[2]),
        "Wait until lockstep.worker_status calls it drained; retry or discard the dead ones in lockstep.dead_jobs.",
    ),
    NotACopy => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        "nothing is held in this database",
        "Jobs are dropped in a database only that was restored from a dump or made from a template.",
        "To drop a single job, call lockstep.discard_job.",
    ),
}
