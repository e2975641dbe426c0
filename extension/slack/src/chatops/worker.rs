//! Retiring the old names of renamed workers.

use super::command::Command;
use crate::error::{OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};

kept! {
    static RETIRE: OwnStatement = OwnStatement::new(
        "select lockstep.retire_worker($1)",
        &[pg_sys::TEXTOID],
    );
}

/// Retires a worker's old name.
// Does not wait for long, like lockstep.retire_worker.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_retire_worker(command jsonb, old_name text)
returns jsonb language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_retire_worker(jsonb, text) is
  'gives up the old name of a renamed worker, as lockstep.retire_worker does, as a user of Slack asks';
revoke execute on function lockstep_api.chatops_retire_worker(jsonb, text) from public;
"#)]
fn chatops_retire_worker(command: Option<Jsonb>, old_name: Option<&str>) -> JsonB {
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
