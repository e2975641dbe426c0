//! Backfills, looked at and controlled.

use super::command::Command;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::{OwnStatement, Statement, View, connected, datum};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use serde_json::Value;
use std::mem::ManuallyDrop;

struct Control {
    // Whoever began the run: who may call us may stop it.
    pause: OwnStatement,
    cancel: OwnStatement,
    // With the rights of the caller.
    resume: Statement,
    retry: Statement,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static RUNS: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        // Those that have not ended are what is asked about; the others are many some day.
        "select jsonb_build_object('total', (select count(*) from lockstep.backfill_progress t where $1 is null or t.run = $1),
                                   'runs', coalesce(jsonb_agg(p.run order by p.has_ended, (p.run ->> 'run')::bigint desc), '[]'))::text
           from (select p.status in ('finished', 'cancelled') as has_ended, jsonb_build_object(
                          'run', p.run, 'job', p.job, 'table', p.target_table::text, 'status', p.status, 'percent', p.percent,
                          'scanned', p.scanned, 'updated', p.updated, 'unresolved', p.unresolved,
                          'rows_per_second', p.rows_per_second,
                          'remaining', p.remaining::text, 'held_by', p.held_by, 'set_aside', p.set_aside,
                          'last_error', p.last_error, 'role', p.role::text,
                          'started_at', to_char(p.started_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'),
                          'finished_at', to_char(p.finished_at at time zone 'utc', 'YYYY-MM-DD HH24:MI'))
                   from lockstep.backfill_progress p
                  where $1 is null or p.run = $1
                  order by has_ended, p.run desc limit 30) p (has_ended, run)",
        &[pg_sys::INT8OID],
    ));
}

thread_local! {
    // Not by its bare name, as the search path is the caller's.
    static STARTS: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
        "select lockstep.start_backfill(job => $1, workers => $2)",
        &[pg_sys::TEXTOID, pg_sys::INT4OID],
    ));
    static CONTROL: ManuallyDrop<Control> = ManuallyDrop::new(Control {
        pause: OwnStatement::new("select lockstep.pause_backfill($1)", &[pg_sys::INT8OID]),
        cancel: OwnStatement::new("select lockstep.cancel_backfill($1)", &[pg_sys::INT8OID]),
        resume: Statement::new("select lockstep.resume_backfill($1)", &[pg_sys::INT8OID]),
        retry: Statement::new("select lockstep.retry_backfill($1)", &[pg_sys::INT8OID]),
    });
}

fn runs(run: Option<i64>) -> Result<Value> {
    let mut text = String::new();
    RUNS.with(|statement| {
        statement.rows_with_nulls(&[run.map(datum)], |row| {
            text = row.get(1).unwrap_or_default();
        })
    })?;
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

/// Runs of backfill jobs.
#[pg_extern(sql = r#"
create function lockstep.chatops_backfills(run bigint default null)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_backfills(bigint) is
  'how many runs of backfill jobs there are, and those that have not ended and the last of the others; or one of them; whoever began them: lockstep.backfill_progress, for chatops';
revoke execute on function lockstep.chatops_backfills(bigint) from public;
"#)]
fn chatops_backfills(run: Option<i64>) -> JsonB {
    JsonB(runs(run).or_raise())
}

/// Begins a run, for which the caller needs the rights of the owner of the table.
// It does not pin its search path, as lockstep.start_backfill does not.
#[pg_extern(sql = r#"
create function lockstep.chatops_start_backfill(command jsonb, job text, workers integer default 1)
returns jsonb language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_start_backfill(jsonb, text, integer) is
  'begins a run of a backfill job, as lockstep.start_backfill does with the rights of the caller, as a user of Slack asks';
revoke execute on function lockstep.chatops_start_backfill(jsonb, text, integer) from public;
"#)]
fn chatops_start_backfill(
    command: Option<JsonB>,
    job: Option<&str>,
    workers: Option<i32>,
) -> JsonB {
    let command = required(command, "command");
    let job = required(job, "job");
    let workers = required(workers, "workers");
    let start = || -> Result<Value> {
        Command::parse(command)?.once(|| {
            let arguments = [datum(job), datum(workers)];
            let run = STARTS.with(|start| connected(|| start.first_row::<i64, 1>(&arguments)));
            one(run.and_then(|[run]| run).unwrap_or_default())
        })
    };
    JsonB(start().or_raise())
}

/// Pauses, resumes, retries or cancels a run.
#[pg_extern(sql = r#"
create function lockstep.chatops_control_backfill(command jsonb, run bigint, action text)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_control_backfill(jsonb, bigint, text) is
  'pauses, resumes, retries or cancels a run, as a user of Slack asks: pause and cancel whoever began it, the others with the rights of the caller';
revoke execute on function lockstep.chatops_control_backfill(jsonb, bigint, text) from public;
"#)]
fn chatops_control_backfill(
    command: Option<JsonB>,
    run: Option<i64>,
    action: Option<&str>,
) -> JsonB {
    let command = required(command, "command");
    let run = required(run, "run");
    let action = required(action, "action");
    let control = || -> Result<Value> {
        Command::parse(command)?.once(|| {
            let run_of = [datum(run)];
            match action {
                "pause" => CONTROL.with(|control| control.pause.rows(&run_of, |_| {}))?,
                "cancel" => CONTROL.with(|control| control.cancel.rows(&run_of, |_| {}))?,
                "resume" => CONTROL.with(|control| as_caller(&control.resume, &run_of)),
                "retry" => CONTROL.with(|control| as_caller(&control.retry, &run_of)),
                _ => {
                    return Err(ChatopsError::Action {
                        action: action.chars().take(50).collect(),
                    }
                    .into());
                }
            }
            one(run)
        })
    };
    JsonB(control().or_raise())
}

fn as_caller(statement: &Statement, arguments: &[Datum]) {
    connected(|| statement.rows(View::Own, arguments, |_| {}));
}

fn one(run: i64) -> Result<Value> {
    Ok(runs(Some(run))?["runs"][0].take())
}
