//! Backfills: status and control.

use super::command::Command;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, Statement, View, connected, datum};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use serde_json::Value;

struct Control {
    // Works whoever started the run: anyone who may call these functions may stop it.
    pause: OwnStatement,
    cancel: OwnStatement,
    // With the caller's rights.
    resume: Statement,
    retry: Statement,
}

kept! {
    static RUN: OwnStatement = OwnStatement::new(
        "select lockstep_api.chatops_backfills($1) -> 'runs' -> 0",
        &[pg_sys::INT8OID],
    );
    // Qualified, because the search path is the caller's.
    static STARTS: Statement = Statement::new(
        "select lockstep.start_backfill(job => $1, workers => $2)",
        &[pg_sys::TEXTOID, pg_sys::INT4OID],
    );
    static CONTROL: Control = Control {
        pause: OwnStatement::new("select lockstep.pause_backfill($1)", &[pg_sys::INT8OID]),
        cancel: OwnStatement::new("select lockstep.cancel_backfill($1)", &[pg_sys::INT8OID]),
        resume: Statement::new("select lockstep.resume_backfill($1)", &[pg_sys::INT8OID]),
        retry: Statement::new("select lockstep.retry_backfill($1)", &[pg_sys::INT8OID]),
    };
}

/// Starts a run; the caller needs the rights of the table's owner.
// It does not pin its search path, just like lockstep.start_backfill.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_start_backfill(command jsonb, job text, workers integer default 1)
returns jsonb language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_start_backfill(jsonb, text, integer) is
  'begins a run of a backfill job, as lockstep.start_backfill does with the rights of the caller, as a user of Slack asks';
revoke execute on function lockstep_api.chatops_start_backfill(jsonb, text, integer) from public;
"#)]
fn chatops_start_backfill(
    command: Option<Jsonb>,
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
create function lockstep_api.chatops_control_backfill(command jsonb, run bigint, action text)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_control_backfill(jsonb, bigint, text) is
  'pauses, resumes, retries or cancels a run for a Slack user: any run can be paused and cancelled, resume and retry need the caller''s rights';
revoke execute on function lockstep_api.chatops_control_backfill(jsonb, bigint, text) from public;
"#)]
fn chatops_control_backfill(
    command: Option<Jsonb>,
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
    let mut found = Value::Null;
    RUN.with(|statement| {
        statement.rows(&[datum(run)], |row| {
            found = row.get::<JsonB>(1).map_or(Value::Null, |run| run.0);
        })
    })?;
    Ok(found)
}
