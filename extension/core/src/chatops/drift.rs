//! Rows that are not what they should be, counted.

use crate::cache_column::standings;
use crate::error::{OrRaise, Result, required};
use crate::slack_workspace;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

/// How many rows have drifted. All tables in question are read.
#[pg_extern(sql = r#"
create function lockstep.chatops_drift(schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.chatops_drift(text) is
  'how many rows of each cache column, and of Slack workspaces, are not what they should be; reads all of them';
revoke execute on function lockstep.chatops_drift(text) from public;
"#)]
fn chatops_drift(schema: Option<&str>) -> JsonB {
    let schema = required(schema, "schema");
    let drift = || -> Result<Value> {
        let mut parts = Vec::new();
        for column in standings(usize::MAX)? {
            parts.push(json!({ "what": column.what, "state": column.state, "rows": column.wrong }));
        }
        if let Some(rows) = slack_workspace::rows_adrift(schema)? {
            parts.push(json!({ "what": "slack_integrations", "state": "active", "rows": rows }));
        }
        Ok(Value::Array(parts))
    };
    JsonB(drift().or_raise())
}
