//! How many rows are not what they should be.

use crate::cache_column::standings;
use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::rows_adrift;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};

/// More than these are not counted: whoever looks wants to know whether there are any.
const MOST: usize = 1_000;

/// Counts the rows that differ.
#[pg_extern(sql = r#"
create function lockstep.drift_report(schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.drift_report(text) is
  'of cache columns and Slack integrations, how many rows are not what they should be, up to a thousand each; reads all of them';
revoke execute on function lockstep.drift_report(text) from public;
"#)]
fn drift_report(schema: Option<&str>) -> JsonB {
    let schema = required(schema, "schema");
    JsonB(report(schema).or_raise())
}

fn report(schema: &str) -> Result<Value> {
    let mut found = Vec::new();
    for column in standings(MOST + 1)? {
        if let Some(rows) = column.wrong {
            found.push(counted(&column.what, rows));
        }
    }
    if let Some(rows) = rows_adrift(schema)? {
        found.push(counted("slack_integrations", rows));
    }
    Ok(json!({ "found": found }))
}

fn counted(what: &str, rows: usize) -> Value {
    json!({ "what": what, "rows": rows.min(MOST), "is_more": rows > MOST })
}
