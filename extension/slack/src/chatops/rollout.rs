//! The state of a flag's rollout, from the audit of its changes.

use super::feature;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};

kept! {
    static HISTORY: OwnStatement = OwnStatement::new(
        // A TRUNCATE of the table counts as a change of every flag. Changes before a flag was deleted belong to an earlier
        // rollout; the application deletes the flag first and its gates afterwards.
        "with whole as materialized (
           select f.* from lockstep.feature_audit f where f.schema = $1 and (left(f.feature, 255) = left($2, 255) and f.feature = $2 or f.change = 'truncate')),
         deletion as (select d.id, d.changed_at from whole d where d.change = 'delete' and d.gate is null order by d.id desc limit 1),
         now as (select a.* from whole a where a.id > coalesce((select d.id from deletion d), 0)),
         last as (select l.* from whole l order by l.id desc limit 1)
         select jsonb_build_object(
             'first_on_at', (select to_char(min(a.changed_at) at time zone 'utc', 'YYYY-MM-DD HH24:MI') from now a
                              where a.change in ('insert', 'update') and a.gate is not null and a.after is distinct from '0'
                                and not (a.gate = 'actors' and right(a.after, 8) = ':opt_out')),
             'fully_on_since', (select to_char(max(a.changed_at) at time zone 'utc', 'YYYY-MM-DD HH24:MI') from now a
                                 where a.change = 'insert' and a.gate = 'boolean'),
             'deleted_at', (select to_char(d.changed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') from deletion d
                             where not exists (select from now a where a.change = 'insert')),
             'changed_at', (select to_char(l.changed_at at time zone 'utc', 'YYYY-MM-DD HH24:MI') from last l),
             'changed_by', (select coalesce(l.actor, l.role) from last l),
             'is_changed_in_slack', (select l.actor is not null from last l),
             'hours_unchanged', (select floor(extract(epoch from clock_timestamp() - l.changed_at) / 3600)::bigint from last l))::text",
        &[pg_sys::TEXTOID, pg_sys::TEXTOID],
    );
}

/// The state of a flag's rollout.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_rollout(name text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_rollout(text, text) is
  'how the rollout of a feature flag stands: its state, when and by whom it was changed, and rows that are left of it';
revoke execute on function lockstep_api.chatops_rollout(text, text) from public;
"#)]
fn chatops_rollout(name: Option<&str>, schema: Option<&str>) -> JsonB {
    let name = required(name, "name");
    let schema = required(schema, "schema");
    let rollout = || -> Result<Value> {
        let flag = feature::standings(schema, Some(name))?.pop();
        let mut text = String::new();
        HISTORY.with(|history| {
            history.rows(&[datum(schema), datum(name)], |row| {
                text = row.get(1).unwrap_or_default();
            })
        })?;
        let mut history: Value =
            serde_json::from_str(&text).map_err(|error| ChatopsError::Command {
                message: error.to_string(),
            })?;
        if history["hours_unchanged"].is_null() {
            // For flags set before changes were audited, the rows themselves say when they were written.
            let age = flag.as_ref().and_then(|flag| flag.age);
            history["hours_unchanged"] = json!(age.map(|seconds| seconds / 3_600));
        }
        Ok(json!({
            "flag": flag.as_ref().map(|flag| &flag.value),
            "history": history,
            "stale_rows": flag.as_ref().map(|flag| flag.stale_rows),
        }))
    };
    JsonB(rollout().or_raise())
}
