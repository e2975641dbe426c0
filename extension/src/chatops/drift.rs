//! Rows that are not what they should be, counted.

use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use crate::slack_workspace;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static COLUMNS: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select coalesce(jsonb_agg(jsonb_build_object(
                  'what', format('%s.%s', c.target_table::regclass, c.target_column), 'state', c.state,
                  'rows', case when c.state not like '% dropped' and c.state not like '% column missing'
                            then (select count(*) from lockstep.cache_column_drift(c.target_table, c.target_column)) end)
                  order by c.id), '[]')::text
           from lockstep.cache_columns c",
        &[],
    ));
}

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
        let mut text = String::new();
        COLUMNS.with(|statement| {
            statement.rows(&[], |row| {
                text = row.get(1).unwrap_or_default();
            })
        })?;
        let mut parts: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        if let Some(rows) = slack_workspace::rows_adrift(schema)? {
            parts.push(json!({ "what": "slack_integrations", "state": "active", "rows": rows }));
        }
        Ok(Value::Array(parts))
    };
    JsonB(drift().or_raise())
}
