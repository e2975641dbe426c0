//! Workers that are renamed, and old names that are given up.

use super::command::Command;
use crate::error::{OrRaise, Result, required};
use lockstep_server::{OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATUS: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select coalesce(jsonb_agg(jsonb_build_object(
                  'worker', s.worker, 'renamed_to', s.renamed_to, 'feature', s.feature, 'enqueued', s.enqueued,
                  'running', s.running, 'dead', s.dead, 'drained', s.drained,
                  'retired_at', to_char(s.retired_at at time zone 'utc', 'YYYY-MM-DD HH24:MI')) order by s.worker), '[]')::text
           from lockstep.worker_status s",
        &[],
    ));
    static RETIRE: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select lockstep.retire_worker($1)",
        &[pg_sys::TEXTOID],
    ));
}

/// The workers, and how many jobs have each name.
#[pg_extern(sql = r#"
create function lockstep.chatops_workers()
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_workers() is 'lockstep.worker_status, for chatops';
revoke execute on function lockstep.chatops_workers() from public;
"#)]
fn chatops_workers() -> JsonB {
    let list = || -> Result<Value> {
        let mut text = String::new();
        STATUS.with(|statement| {
            statement.rows(&[], |row| {
                text = row.get(1).unwrap_or_default();
            })
        })?;
        Ok(serde_json::from_str(&text).unwrap_or_default())
    };
    JsonB(list().or_raise())
}

/// Gives up the old name of a worker.
// As lockstep.retire_worker, it does not wait for long.
#[pg_extern(sql = r#"
create function lockstep.chatops_retire_worker(command jsonb, old_name text)
returns jsonb language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_retire_worker(jsonb, text) is
  'gives up the old name of a renamed worker, as lockstep.retire_worker does, as a user of Slack asks';
revoke execute on function lockstep.chatops_retire_worker(jsonb, text) from public;
"#)]
fn chatops_retire_worker(command: Option<JsonB>, old_name: Option<&str>) -> JsonB {
    let command = required(command, "command");
    let old_name = required(old_name, "old_name");
    let retire = || -> Result<Value> {
        Command::parse(command)?.once(|| {
            RETIRE.with(|statement| statement.rows(&[datum(old_name)], |_| {}))?;
            Ok(json!({ "worker": old_name }))
        })
    };
    JsonB(retire().or_raise())
}
