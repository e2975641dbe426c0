//! Counts of drifted rows, now; lockstep_internal.drift_check keeps the last ones, and drift_history the worst of each day.

use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::rows_adrift;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, is_set_to, keys_argument, nullable};
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
    static RECORD: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.drift_check (schema, what, rows, is_more, checked_at)
         select $1, u.what, least(u.rows, $4 - 1), coalesce(u.rows >= $4, false), clock_timestamp() from unnest($2, $3) u (what, rows)
         on conflict (schema, what) do update
           set rows = excluded.rows, is_more = excluded.is_more, checked_at = excluded.checked_at",
        &[
            pg_sys::TEXTOID,
            pg_sys::TEXTARRAYOID,
            pg_sys::INT8ARRAYOID,
            pg_sys::INT8OID,
        ],
    );
    static REMEMBER: OwnStatement = OwnStatement::new(
        "insert into lockstep_internal.drift_history as h (schema, what, day, rows, is_more, checked_at)
         select c.schema, c.what, (c.checked_at at time zone 'utc')::date, c.rows, c.is_more, c.checked_at
           from lockstep_internal.drift_check c where c.schema = $1 and c.what = any ($2)
         on conflict (schema, what, day) do update
           set rows = greatest(h.rows, excluded.rows), is_more = h.is_more or excluded.is_more, checked_at = excluded.checked_at",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
    );
    static FORGET: OwnStatement = OwnStatement::new(
        "delete from lockstep_internal.drift_check c where c.schema = $1 and c.what <> all ($2)",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
    );
}

/// Rows of one kind.
pub(crate) struct Adrift {
    pub(crate) what: String,
    pub(crate) state: String,
    /// None if unknown.
    pub(crate) rows: Option<i64>,
}

/// What can drift, and how many rows do, counted up to a limit where that saves time. The counts are kept for those who only look.
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
    record(schema, &found, most)?;
    Ok(found)
}

/// A standby keeps nothing. What cannot be counted now keeps its last count, which gets old.
fn record(schema: &str, found: &[Adrift], most: Option<i64>) -> Result<()> {
    if !is_set_to(c"transaction_read_only", c"off") {
        return Ok(());
    }
    let counted = found
        .iter()
        .filter_map(|it| Some((it.what.clone(), it.rows?)));
    let (names, rows): (Vec<String>, Vec<i64>) = counted.unzip();
    let arguments = [
        Some(datum(schema)),
        Some(datum(names.clone())),
        Some(keys_argument(&rows)),
        nullable(most),
    ];
    RECORD.with(|statement| statement.run_with_nulls(&arguments))?;
    REMEMBER.with(|statement| statement.run(&[datum(schema), datum(names)]))?;
    let all: Vec<String> = found.iter().map(|it| it.what.clone()).collect();
    FORGET.with(|statement| statement.run(&[datum(schema), datum(all)]))?;
    Ok(())
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
