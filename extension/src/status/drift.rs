//! How many rows are not what they should be.

use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use crate::slack_workspace::rows_adrift;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;

/// More than these are not counted: whoever looks wants to know whether there are any.
const MOST: i64 = 1_000;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static CACHE_COLUMNS: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select c.target_table::text || '.' || c.target_column,
                (select count(*) from (select from lockstep.cache_column_drift(c.target_table, c.target_column) limit 1001) d)
           from lockstep.cache_columns c where c.state not like '%dropped' and c.state not like '%missing'
          order by 1",
        &[],
    ));
}

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
    CACHE_COLUMNS.with(|statement| {
        statement.rows(&[], |row| {
            if let (Some(what), Some(rows)) = (row.get::<String>(1), row.get::<i64>(2)) {
                found.push(counted(&what, rows));
            }
        })
    })?;
    if let Some(rows) = rows_adrift(schema)? {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        found.push(counted("slack_integrations", rows));
    }
    Ok(json!({ "found": found }))
}

fn counted(what: &str, rows: i64) -> Value {
    json!({ "what": what, "rows": rows.min(MOST), "is_more": rows > MOST })
}
