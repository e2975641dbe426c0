//! Begins runs, and pauses, resumes, cancels and retries them.

use super::jobs::{hold_function, registry};
use super::runs::{
    LOOK_EVERY_MS, NewRun, Next, Range, Run, Settings, Status, Worker, is_changed, presence, step,
    told, worker,
};
use crate::error::{BackfillError, Error, OrRaise, Result, required};
use lockstep_server::host::Relation;
use lockstep_server::{
    are_ourselves, attempt_catching, commit, is_atomic, is_in_transaction_block, keep_extension,
    sleep, with_snapshot,
};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use serde_json::Value;
use std::panic::AssertUnwindSafe;

/// As many as PostgreSQL may be told to have.
const MOST_WORKERS: i32 = 1_024;

// Neither this function nor the next one pins its search path: a hold function is found under the caller's.

/// Begins a run with background workers, which start when the transaction commits. Answers the number of the run.
#[pg_extern(sql = r#"
create function lockstep.start_backfill(job text, "table" regclass default null, workers integer default 1,
                                        settings jsonb default '{}')
returns bigint language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.start_backfill(text, regclass, integer, jsonb) is
  'begins a run of a backfill job with background workers; returns the number of the run, as in lockstep.backfill_progress';
"#)]
fn start_backfill(
    job: Option<&str>,
    table: Option<Oid>,
    workers: Option<i32>,
    settings: Option<JsonB>,
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

/// The run that a session is to work on by itself: a new one, or one of the same job that nobody works on.
#[pg_extern(sql = r#"
create function lockstep.open_backfill(job text, "table" regclass default null, settings jsonb default '{}')
returns bigint language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.open_backfill(text, regclass, jsonb) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn open_backfill(job: Option<&str>, table: Option<Oid>, settings: Option<JsonB>) -> i64 {
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
    /// The table has a run already.
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
        told::begun(&Run::lock(run)?.name(), workers);
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

/// The settings with the name of the hold function qualified.
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

/// One step of a run in the calling session. Answers how many milliseconds to wait for the next, and null at the end.
#[pg_extern(sql = r#"
create function lockstep.backfill_step(run bigint)
returns integer language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.backfill_step(bigint) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn backfill_step(run: Option<i64>) -> Option<i32> {
    let run = required(run, "run");
    let next = check_place(run).and_then(|()| step(run, Worker::Session));
    match next.or_raise() {
        Next::StepAfter(ms) => Some(ms),
        Next::Stop => None,
    }
}

/// The rights are checked here, not at each step of a worker, which has those of the run.
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

// A procedure, as what waits inside of a function holds the snapshot of the statement that called it, and with it back what vacuum
// could remove. It cannot pin its search path, for then it could not commit.

/// Waits between two steps; no longer once the run is paused, cancelled or altered. It is a transaction of its own.
#[pg_extern(sql = r#"
create procedure lockstep.wait_for_backfill(run bigint, milliseconds integer)
language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on procedure lockstep.wait_for_backfill(bigint, integer) is 'part of lockstep.backfill, which is to be called instead';
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

/// Leaves a run that is over, and raises an error if it did not do all rows. False if it goes on: it was paused, and resumed before
/// the session had left.
#[pg_extern(sql = r#"
create function lockstep.report_backfill(run bigint)
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.report_backfill(bigint) is 'part of lockstep.backfill, which is to be called instead';
"#)]
fn report_backfill(run: Option<i64>) -> bool {
    let run = required(run, "run");
    report(run).or_raise()
}

fn report(run: i64) -> Result<bool> {
    // Whoever resumes the run waits for this lock, so the workers he starts find the place either taken, and worked in, or free.
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

/// Stops a run for now; sub-batches that are being done are finished.
#[pg_extern(sql = r#"
create function lockstep.pause_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.pause_backfill(bigint) is 'stops a run for now; its place is kept';
"#)]
fn pause_backfill(run: Option<i64>) {
    pause(required(run, "run")).or_raise();
}

/// Ends a run; what is done stays done.
#[pg_extern(sql = r#"
create function lockstep.cancel_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cancel_backfill(bigint) is 'ends a run; what is done stays done';
"#)]
fn cancel_backfill(run: Option<i64>) {
    cancel(required(run, "run")).or_raise();
}

/// Goes on with a run that is paused, or that has lost its workers.
#[pg_extern(sql = r#"
create function lockstep.resume_backfill(run bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.resume_backfill(bigint) is 'resumes a run that is paused, or that has lost its workers';
"#)]
fn resume_backfill(run: Option<i64>) {
    resume(required(run, "run")).or_raise();
}

/// Goes on with a run that failed, the ranges it set aside first.
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

/// Also starts workers that a running run lacks, as after a restart of the server.
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
    if run.role == Oid::INVALID {
        return Err(BackfillError::Gone { run: run.id }.into());
    }
    set_running(run)?;
    presence::hold_back_workers(run.id);
    worker::launch(run, run.workers.max(1))
}

/// Another run of the table may be begun at the same moment: then this waits for it, and is refused.
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

/// The run, locked, if it is one that this can be done to: by whoever has its rights, or by an extension that has checked by itself.
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

/// Changes settings of a run that is under way; those that are not named stay.
#[pg_extern(sql = r#"
create function lockstep.alter_backfill(run bigint, settings jsonb default '{}', workers integer default null)
returns void language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.alter_backfill(bigint, jsonb, integer) is
  'changes settings of a run while it works; another number of workers counts from the next lockstep.resume_backfill on';
"#)]
fn alter_backfill(run: Option<i64>, settings: Option<JsonB>, workers: Option<i32>) {
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
