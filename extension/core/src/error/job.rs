//! Errors of jobs, their runners and their workers' names.

use lockstep_server::errors;
use pgrx::PgSqlErrorCode::*;

errors! {
    pub(crate) JobError:
    WorkerName { worker: String } => (
        ERRCODE_INVALID_NAME,
        format!("\"{worker}\" is not a valid name for a worker"),
        "A name has from 1 to 255 characters.",
        "For example: Integrations::ExecuteWorker.",
    ),
    NoSuchWorker { worker: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("worker \"{worker}\" does not exist"),
        "No job has that name, nor does a definition or a rename.",
        "All workers are listed in lockstep.worker_status.",
    ),
    UniqueKey => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "unique_key must not be empty",
        "While a job with a key waits, no other job of the worker with that key is enqueued.",
        "Leave it out, or pass null, for a job that may exist more than once.",
    ),
    LongKey => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "unique_key must not have more than 255 characters",
        "It is stored in an index.",
        "Pass a digest instead, for example pg_catalog.md5(...).",
    ),
    Deduplicate { deduplicate: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("deduplicate must be until_executing, until_executed or replace, but is \"{deduplicate}\""),
        "It says how long a job holds its unique key, and what becomes of a second job with the key.",
        "Leave it out: then a key is free as soon as its job runs.",
    ),
    Cron { cron: String, reason: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{cron}\" is not a cron expression"),
        reason,
        "Give minute, hour, day of the month, month and day of the week, for example: 30 2 * * MON-FRI; or @hourly, @daily, @weekly, @monthly.",
    ),
    Never { cron: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("cron expression \"{cron}\" is never due"),
        "There is no such date.",
        "See the next times: select lockstep.cron_times('30 2 * * *').",
    ),
    TimeZone { time_zone: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("\"{time_zone}\" is not a time zone"),
        "Time zones have their names of the IANA database, with the same case.",
        "For example: UTC, Europe/Berlin; all are listed in pg_timezone_names.",
    ),
    Missed { missed: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("missed must be run_once or skip, but is \"{missed}\""),
        "It says what becomes of times that pass while no runner is there.",
        "run_once makes up for all of them with one job; skip waits for the next time.",
    ),
    ScheduleName => (
        ERRCODE_INVALID_NAME,
        "the name of a schedule must have from 1 to 100 characters",
        "The name given is empty or too long.",
        "For example: nightly report.",
    ),
    NoSuchSchedule { name: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("schedule \"{name}\" does not exist"),
        "No schedule has that name.",
        "All schedules are listed in lockstep.job_schedules.",
    ),
    MostTimes { most: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("most must be from 1 to 1000, but is {most}"),
        "It is the number of times to return.",
        "For example: 5.",
    ),
    Concurrency { concurrency: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("concurrency must be from 1 to 10000, but is {concurrency}"),
        "It is the number of jobs that run at once.",
        "Pass null to remove the limit.",
    ),
    Rate { rate: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("rate must be from 1 to 10000, but is {rate}"),
        "It is the number of jobs that start within the period.",
        "Pass null to remove the limit. For a higher rate choose a shorter period.",
    ),
    Period => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "period must be from one second to 31 days, and come with a rate",
        "No more jobs than the rate start within the period.",
        "For example: rate => 100, period => '1 minute'.",
    ),
    LimitBy { by: String } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("by must be worker or key, but is \"{by}\""),
        "It says whether the limit is for all jobs of the worker together or for those of each concurrency key.",
        "Leave it out to limit the whole worker.",
    ),
    ConcurrencyKey => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "concurrency_key must have from 1 to 255 characters",
        "Jobs of a worker with the same key share the limits set with limit_worker(..., by => 'key').",
        "Leave it out, or pass null, for a job that no limit for keys counts.",
    ),
    RunnerName => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "name must not have more than 255 characters",
        "The name identifies a runner.",
        "For example: host name and process id.",
    ),
    /// The runner belongs to another role.
    RunnerDenied { runner: i64, role: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied for runner {runner}"),
        format!("It was started by role \"{role}\"."),
        "Call lockstep.start_runner to start your own.",
    ),
    /// The calling role does not run the worker.
    WorkerDenied { worker: String, only: String } => (
        ERRCODE_INSUFFICIENT_PRIVILEGE,
        format!("permission denied to run worker \"{worker}\""),
        format!("The runner's role may only run workers whose names begin with {only} (see lockstep_internal.runner_limit)."),
        "Run the others as a role without this limit.",
    ),
    Retries { retries: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("retries must be from 0 to 100, but is {retries}"),
        "A failing job is retried this often, at growing intervals: 25 retries take three weeks.",
        "For example, 3 gives up after about two minutes.",
    ),
    Lease => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "lease_for must be from one second to 24 hours",
        "A runner without a heartbeat for this long is considered lost, and others take over its jobs.",
        "For example: '30 seconds', with a heartbeat every ten.",
    ),
    RetryAfter => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        "retry_after must not be negative",
        "It is the time until the job is retried.",
        "Leave it out, or pass null, for an interval that grows with each failure.",
    ),
    Most { most: i32 } => (
        ERRCODE_INVALID_PARAMETER_VALUE,
        format!("most must be from 1 to 10000, but is {most}"),
        "It is the maximum number of jobs to claim, which other runners then cannot get.",
        "Claim as many as you can run within about a second.",
    ),
    RunnerLost { runner: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("runner {runner} does not exist, or its lease has ended"),
        "Its jobs may belong to other runners now.",
        "Call lockstep.start_runner for a new number.",
    ),
    NotRunners { runner: i64, job: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("runner {runner} does not hold job {job}"),
        "The job was already completed, or the runner's lease has ended and another runner has the job.",
        "Undo the job's work if possible: it may run again.",
    ),
    NotDead { job: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("there is no dead job {job}"),
        "Only a dead job can be retried by hand.",
        "All dead jobs are listed in lockstep.dead_jobs.",
    ),
    KeyTaken { job: i64, key: String } => (
        ERRCODE_UNIQUE_VIOLATION,
        format!("dead job {job} cannot be retried: another job has its unique key"),
        format!("The other job with key \"{key}\" waits or runs."),
        "Discard the dead one, or retry it once the other is done.",
    ),
    NotDiscardable { job: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("there is no job {job} to discard"),
        "It does not exist, or is already done.",
        "Jobs that failed for good are listed in lockstep.dead_jobs.",
    ),
    Running { job: i64 } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("job {job} cannot be discarded: it is running"),
        "Its runner has not reported an outcome.",
        "Wait for the outcome, or take the job from its runner with lockstep.cancel_job.",
    ),
    NotCancellable { job: i64 } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("there is no job {job} to cancel"),
        "It does not exist, is already done, or failed for good.",
        "Dead jobs are listed in lockstep.dead_jobs; lockstep.discard_job removes one.",
    ),
    Rename { old: String, new: String, reason: String } => (
        ERRCODE_DUPLICATE_OBJECT,
        format!("worker \"{old}\" cannot be renamed to \"{new}\": {reason}"),
        "A worker can be renamed to one other name, and only one worker can be renamed to that name.",
        "All renames are listed in lockstep.worker_status; lockstep.remove_worker_rename removes one.",
    ),
    NotRenamed { worker: String } => (
        ERRCODE_UNDEFINED_OBJECT,
        format!("worker \"{worker}\" is not the old name of a renamed worker"),
        "There is no new name to replace it.",
        "All renames are listed in lockstep.worker_status.",
    ),
    BuiltInRename { worker: String } => (
        ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        format!("the rename of worker \"{worker}\" is built in"),
        "It would return in a restored database.",
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
        "Jobs can only be discarded this way in a database that was restored from a dump or created from a template.",
        "To discard a single job, call lockstep.discard_job.",
    ),
}
