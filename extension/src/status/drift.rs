//! How many rows are not what they should be.

use crate::cache_column::count_drift;
use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use crate::server::attempt;
use crate::slack_workspace::rows_adrift;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;
use std::panic::AssertUnwindSafe;

/// More than these are not counted: whoever looks wants to know whether there are any.
const MOST: i64 = 1_000;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static COLUMNS: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "select c.id::bigint, c.target_table::text || '.' || c.target_column, c.state from lockstep.cache_columns c order by c.id",
        &[],
    ));
}

/// A cache column, and how many of its rows are wrong, where that can be told.
pub(crate) struct Counted {
    pub(crate) what: String,
    pub(crate) state: String,
    pub(crate) rows: Option<i64>,
}

/// Counts up to a limit of each.
pub(crate) fn cache_columns(limit: i64) -> Result<Vec<Counted>> {
    let mut columns = Vec::new();
    COLUMNS.with(|statement| {
        statement.rows(&[], |row| {
            columns.push((
                row.get::<i64>(1).unwrap_or_default(),
                row.get::<String>(2).unwrap_or_default(),
                row.get::<String>(3).unwrap_or_default(),
            ));
        })
    })?;
    let count = |(id, what, state): (i64, String, String)| {
        let definition = i32::try_from(id).unwrap_or_default();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // Whoever owns the tables can have it fail, but not keep others from seeing theirs.
        let counted = attempt(AssertUnwindSafe(|| count_drift(definition, limit)));
        let rows = match counted {
            // The state tells what is missing.
            Ok(rows) => rows.ok().and_then(|rows| i64::try_from(rows).ok()),
            Err(failure) => {
                warning!("drift of {what} cannot be counted: {}", failure.message);
                None
            }
        };
        Counted { what, state, rows }
    };
    Ok(columns.into_iter().map(count).collect())
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
    for column in cache_columns(MOST + 1)? {
        found.extend(column.rows.map(|rows| counted(&column.what, rows)));
    }
    if let Some(rows) = rows_adrift(schema)? {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        found.push(counted("slack_integrations", rows));
    }
    Ok(json!({ "found": found }))
}

fn counted(what: &str, rows: i64) -> Value {
    json!({ "what": what, "rows": rows.min(MOST), "is_more": rows > MOST })
}
