//! Counts of drifted rows.

use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::rows_adrift;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, nullable};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};

/// Counting stops here: what matters is whether there are any.
const MOST: i64 = 1_000;

kept! {
    static CACHE_COLUMNS: OwnStatement = OwnStatement::new(
        "select s.what, s.state, s.wrong from lockstep_internal.cache_column_standings($1) s",
        &[pg_sys::INT8OID],
    );
}

/// Rows of one kind.
pub(crate) struct Adrift {
    pub(crate) what: String,
    pub(crate) state: String,
    /// None if unknown.
    pub(crate) rows: Option<i64>,
}

/// What can drift, and how many rows do, counted up to a limit where that saves time.
pub(crate) fn adrift(schema: &str, most: Option<i64>) -> Result<Vec<Adrift>> {
    let mut found = Vec::new();
    CACHE_COLUMNS.with(|statement| {
        statement.rows_with_nulls(&[nullable(most)], |row| {
            found.push(Adrift {
                what: row.get(1).unwrap_or_default(),
                state: row.get(2).unwrap_or_default(),
                rows: row.get(3),
            });
        })
    })?;
    if let Some(rows) = rows_adrift(schema)? {
        found.push(Adrift {
            what: "slack_integrations".to_owned(),
            state: "active".to_owned(),
            rows: Some(rows as i64),
        });
    }
    Ok(found)
}

/// Counts the rows that differ.
#[pg_extern(sql = r#"
create function lockstep.drift_report(schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.drift_report(text) is
  'of cache columns and Slack integrations, how many rows are not what they should be, up to a thousand each; reads all of them';
revoke execute on function lockstep.drift_report(text) from public;
grant execute on function lockstep.drift_report(text) to lockstep_admin;
"#)]
fn drift_report(schema: Option<&str>) -> JsonB {
    let schema = required(schema, "schema");
    JsonB(report(schema).or_raise())
}

fn report(schema: &str) -> Result<Value> {
    let found = adrift(schema, Some(MOST + 1))?.into_iter();
    let found = found.filter_map(|it| {
        let rows = it.rows?;
        Some(json!({ "what": it.what, "rows": rows.min(MOST), "is_more": rows > MOST }))
    });
    Ok(json!({ "found": found.collect::<Vec<_>>() }))
}
