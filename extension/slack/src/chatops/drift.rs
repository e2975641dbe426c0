//! Counts of rows that have drifted.

use crate::error::{OrRaise, Result, required};
use crate::status::drift::adrift;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

/// Counts the rows that have drifted, by reading all tables involved.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_drift(schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_drift(text) is
  'how many rows of each cache column, and of Slack workspaces, are not what they should be; reads all of them';
revoke execute on function lockstep_api.chatops_drift(text) from public;
"#)]
fn chatops_drift(schema: Option<&str>) -> JsonB {
    let schema = required(schema, "schema");
    let drift = || -> Result<Value> {
        let parts = adrift(schema, None)?.into_iter();
        let parts = parts.map(|it| json!({ "what": it.what, "state": it.state, "rows": it.rows }));
        Ok(parts.collect())
    };
    JsonB(drift().or_raise())
}
