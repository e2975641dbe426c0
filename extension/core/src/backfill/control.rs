//! Starts, pauses, resumes, cancels and retries runs.

use super::jobs::{hold_function, registry};
use super::runs::{
    LOOK_EVERY_MS, NewRun, Next, Range, Run, Settings, Status, Worker, is_changed, presence,
    server_log, step, worker,
};
use crate::error::{BackfillError, Error, OrRaise, Result, required};
use lockstep_server::host::Relation;
use lockstep_server::{
    Jsonb, are_ourselves, attempt_catching, commit, is_atomic, is_in_transaction_block,
    keep_extension, sleep, with_snapshot,
};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::Value;
use std::panic::AssertUnwindSafe;

/// The upper limit, the same as that of PostgreSQL's max_parallel_workers.
const MOST_WORKERS: i32 = 1_024;

// Neither this function nor the next one pins its search path: a hold function is looked up under the caller's.

/// Starts a run with background workers, which begin when the transaction commits. Returns the number of the run.
#[pg_extern(sql = r#"
create function lockstep.start_backfill(job text, "table" regclass default null, workers integer default 1,
                                        settings jsonb default '{}')
returns bigint language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.start_backfill(text, regclass, integer, jsonb) is
  'starts a run of a backfill job with background workers; returns the number of the run, as in lockstep.backfill_progress';
"#)]
fn start_backfill(
    job: Option<&str>,
    table: Option<Oid>,
    workers: Option<i32>,
    settings: Option<Jsonb>,
) -> i64 {
    let job = required(job, "job");
    let workers = required(workers, "workers");
    let settings = required(settings, "settings").0;
    start(job, table, workers, &settings).or_raise()
}

fn start(job: &str, table: Option<Oid>, workers: i32, settings: &Value) -> Result<i64> {
    check_workers(workers)?;
    let run = match begin(job, table, workers, settings)? {
        Begun::New(run) => run,
        Begun::Other(run) => return Err(has_run(&run)),
    };
    presence::hold_back_workers(run);
    worker::launch(&Run::lock(run)?, workers)?;
    Ok(run)
}

/// The run that a session works on by itself: a new one, or an existing run of the same job that is idle.
#[pg_extern(sql = r#"
create function lockstep_internal.open_backfill(job text, "table" regclass default null, settings jsonb default '{}')
returns bigint language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.open_backfill(text, regclass, jsonb) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn open_backfill(job: Option<&str>, table: Option<Oid>, settings: Option<Jsonb>) -> i64 {
    let job = required(job, "job");
    let settings = required(settings, "settings").0;
    open(job, table, &settings).or_raise()
}

fn open(job: &str, table: Option<Oid>, settings: &Value) -> Result<i64> {
    if is_in_transaction_block() {
        return Err(BackfillError::InTransactionBlock.into());
    }
    match begin(job, table, 0, settings)? {
        Begun::New(run) => {
            presence::try_work_alone(run);
            Ok(run)
        }
        Begun::Other(run) if run.job == job => {
            let run = Run::lock(run.id)?.checked()?;
            if run.status != Status::Running || !presence::try_work_alone(run.id) {
                return Err(has_run(&run));
            }
            run.change(&with_hold_function(settings)?, None)?;
            Ok(run.id)
        }
        Begun::Other(run) => Err(has_run(&run)),
    }
}

enum Begun {
    New(i64),
    /// The table already has a run.
    Other(Run),
}

fn begin(job: &str, table: Option<Oid>, workers: i32, settings: &Value) -> Result<Begun> {
    let settings = Settings::given(&with_hold_function(settings)?)?;
    let table = registry::table_of(job, table)?;
    let task = registry::task(job, table)?;
    let new = NewRun {
        job,
        table,
        workers,
        settings: &settings,
        last_key: task.walk.last_key().unwrap_or_default(),
        rows_estimated: task.table.rows_estimated(),
    };
    if let Some(run) = new.insert()? {
        server_log::begun(&Run::lock(run)?.name(), workers);
        return Ok(Begun::New(run));
    }
    // It may have ended just now.
    Run::of_table(table)?.map(Begun::Other).ok_or_else(|| {
        BackfillError::TableHasRun {
            table: task.table.qualified_name(),
            run: None,
        }
        .into()
    })
}

fn has_run(run: &Run) -> Error {
    let table = Relation::describe(run.table);
    BackfillError::TableHasRun {
        table: table.map_or_else(|_| run.table.to_string(), |table| table.qualified_name()),
        run: Some((run.id, run.status.name())),
    }
    .into()
}

/// The settings, with the name of the hold function qualified.
fn with_hold_function(settings: &Value) -> Result<Value> {
    let mut settings = settings.clone();
    if let Some(function) = settings.get_mut("hold_function")
        && let Some(name) = function.as_str()
    {
        *function = Value::from(hold_function(name)?);
    }
    Ok(settings)
}

fn check_workers(workers: i32) -> Result<()> {
    match workers {
        1..=MOST_WORKERS => Ok(()),
        _ => Err(BackfillError::Workers { workers }.into()),
    }
}

/// One step of a run in the calling session. Returns the milliseconds to wait before the next step, or null at the end.
#[pg_extern(sql = r#"
create function lockstep_internal.backfill_step(run bigint)
returns integer language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.backfill_step(bigint) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn backfill_step(run: Option<i64>) -> Option<i32> {
    let run = required(run, "run");
    let next = check_place(run).and_then(|()| step(run, Worker::Session));
    match next.or_raise() {
        Next::StepAfter(ms) => Some(ms),
        Next::Stop => None,
    }
}

/// Permissions are checked here, not at each step of a worker, which has the run's rights.
fn check_place(run: i64) -> Result<()> {
    keep_extension();
    let run = Run::find(run)?
        .ok_or(BackfillError::NoSuchRun { run })?
        .checked()?;
    match presence::try_step_alone(run.id) {
        true => Ok(()),
        false => Err(has_run(&run)),
    }
}

// A procedure, because a function that waits keeps the snapshot of its calling statement, which holds back vacuum. It cannot pin
// its search path, because it then could not commit.

/// Waits between two steps; returns early if the run is paused, cancelled or altered. It is a transaction of its own.
#[pg_extern(sql = r#"
create procedure lockstep_internal.wait_for_backfill(run bigint, milliseconds integer)
language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on procedure lockstep_internal.wait_for_backfill(bigint, integer) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn wait_for_backfill(run: Option<i64>, milliseconds: Option<i32>, call: pg_sys::FunctionCallInfo) {
    let run = required(run, "run");
    let milliseconds = required(milliseconds, "milliseconds");
    wait(run, milliseconds, is_atomic(call)).or_raise();
}

fn wait(run: i64, mut rest: i32, is_atomic: bool) -> Result<()> {
    if is_atomic {
        return Err(BackfillError::InTransactionBlock.into());
    }
    let mut is_over = with_snapshot(|| check_place(run)).map(|()| rest <= 0)?;
    loop {
        commit();
        if is_over {
            return Ok(());
        }
        let part = rest.min(LOOK_EVERY_MS);
        sleep(part);
        rest -= part;
        keep_extension();
        is_over = rest <= 0 || with_snapshot(|| is_changed(run))?;
    }
}

/// Leaves a finished run, and raises an error if it did not process all rows. Returns false if the run continues: it was paused,
/// and resumed before the session had left.
#[pg_extern(sql = r#"
create function lockstep_internal.report_backfill(run bigint)
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.report_backfill(bigint) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn report_backfill(run: Option<i64>) -> bool {
    let run = required(run, "run");
    report(run).or_raise()
}

fn report(run: i64) -> Result<bool> {
    // `resume_backfill` waits for this lock, so the workers it starts find the place either taken by an active session, or free.
    let run = Run::lock(run)?.checked()?;
    if run.status == Status::Running {
        return Ok(false);
    }
    presence::leave(run.id);
    match run.status {
        Status::Finished => Ok(true),
        status => Err(BackfillError::NotFinished {
            run: run.id,
            status: status.name(),
            set_aside: Range::numbers(run.id)?.1,
        }
        .into()),
    }
}

/// Pauses a run; sub-batches in progress are finished.
#[pg_extern(sql = r#"
create function lockstep.pause_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.pause_backfill(bigint) is 'pauses a run; it keeps its position';
"#)]
fn pause_backfill(run: Option<i64>) {
    pause(required(run, "run")).or_raise();
}

/// Ends a run; completed work is kept.
#[pg_extern(sql = r#"
create function lockstep.cancel_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cancel_backfill(bigint) is 'ends a run; what is done stays done';
"#)]
fn cancel_backfill(run: Option<i64>) {
    cancel(required(run, "run")).or_raise();
}

/// Resumes a run that is paused or has lost its workers.
#[pg_extern(sql = r#"
create function lockstep.resume_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.resume_backfill(bigint) is 'resumes a run that is paused, or that has lost its workers';
"#)]
fn resume_backfill(run: Option<i64>) {
    resume(required(run, "run")).or_raise();
}

/// Resumes a failed run, starting with the ranges it set aside.
#[pg_extern(sql = r#"
create function lockstep.retry_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.retry_backfill(bigint) is 'resumes a run that failed: tries again the ranges that it set aside';
"#)]
fn retry_backfill(run: Option<i64>) {
    retry(required(run, "run")).or_raise();
}

fn pause(run: i64) -> Result<()> {
    locked(run, &[Status::Running], "paused")?.set_status(Status::Paused)
}

fn cancel(run: i64) -> Result<()> {
    let from = [Status::Running, Status::Paused];
    locked(run, &from, "cancelled")?.set_status(Status::Cancelled)
}

/// Also starts workers that a running run lacks, as after a server restart.
fn resume(run: i64) -> Result<()> {
    let from = [Status::Running, Status::Paused];
    let run = locked(run, &from, "resumed")?;
    go_on(&run)
}

fn retry(run: i64) -> Result<()> {
    let run = locked(run, &[Status::Failed], "retried")?;
    if let Some(other) = Run::of_table(run.table)? {
        return Err(has_run(&other));
    }
    Range::reopen(run.id)?;
    go_on(&run)
}

fn go_on(run: &Run) -> Result<()> {
    worker::check_all(go_on_with_some(run)?, workers(run))
}

/// Returns how many workers could be started.
pub(super) fn go_on_with_some(run: &Run) -> Result<i32> {
    if run.role == Oid::INVALID {
        return Err(BackfillError::Gone { run: run.id }.into());
    }
    set_running(run)?;
    presence::hold_back_workers(run.id);
    worker::launch_some(run, workers(run))
}

/// How many a run gets that goes on, also one that was a call.
pub(super) fn workers(run: &Run) -> i32 {
    run.workers.max(1)
}

/// If another session is starting a run of the same table, this waits for it and is then refused.
fn set_running(run: &Run) -> Result<()> {
    let set = attempt_catching(
        |code| code == PgSqlErrorCode::ERRCODE_UNIQUE_VIOLATION,
        AssertUnwindSafe(|| run.set_status(Status::Running)),
    );
    match set {
        Ok(set) => set,
        Err(_) => Err(match Run::of_table(run.table)? {
            Some(other) => has_run(&other),
            None => BackfillError::TableHasRun {
                table: Relation::describe(run.table)?.qualified_name(),
                run: None,
            }
            .into(),
        }),
    }
}

/// The locked run, if its status allows this. The caller must have its rights, or be an extension that has checked them.
fn locked(run: i64, from: &[Status], done: &'static str) -> Result<Run> {
    let mut run = Run::lock(run)?;
    if !are_ourselves() {
        run = run.checked()?;
    }
    match from.contains(&run.status) {
        true => Ok(run),
        false => Err(BackfillError::Status {
            run: run.id,
            status: run.status.name(),
            done,
        }
        .into()),
    }
}

/// Changes settings of an active run; settings that are not named keep their values.
#[pg_extern(sql = r#"
create function lockstep.alter_backfill(run bigint, settings jsonb default '{}', workers integer default null)
returns void language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.alter_backfill(bigint, jsonb, integer) is
  'changes settings of a run while it works; another number of workers counts from the next lockstep.resume_backfill on';
"#)]
fn alter_backfill(run: Option<i64>, settings: Option<Jsonb>, workers: Option<i32>) {
    let run = required(run, "run");
    let settings = required(settings, "settings").0;
    alter(run, &settings, workers).or_raise();
}

fn alter(run: i64, settings: &Value, workers: Option<i32>) -> Result<()> {
    workers.map_or(Ok(()), check_workers)?;
    let settings = with_hold_function(settings)?;
    let from = [Status::Running, Status::Paused, Status::Failed];
    locked(run, &from, "altered")?.change(&settings, workers)
}
