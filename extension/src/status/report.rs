//! Everything that a status page shows, in one answer.

use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use crate::statement::datum;
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;
use std::mem::ManuallyDrop;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static REPORT: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "with status as materialized (select * from lockstep.slack_delivery_status s where s.schema = $1)
         select jsonb_build_object(
           'at', clock_timestamp(),
           'queue', (
             select coalesce(jsonb_agg(to_jsonb(w) order by w.worker collate \"C\"), '[]') from lockstep.worker_status w
              where not w.drained or w.renamed_to is not null),
           'deliveries', (
             select jsonb_build_object(
                      'waiting', coalesce(sum(s.waiting), 0), 'oldest', min(s.oldest),
                      'delivered_last_hour', coalesce(sum(s.delivered_last_hour), 0),
                      'failed_last_hour', coalesce(sum(s.failed_last_hour), 0),
                      'channels_waiting', count(*) filter (where s.waiting > 0),
                      'channels_held', count(*) filter (where s.held_until > clock_timestamp() + interval '1 second'),
                      'channels', coalesce((
                        select jsonb_agg(to_jsonb(t) - 'schema' order by t.waiting desc, t.team_id collate \"C\", t.channel collate \"C\")
                          from (select * from status o where o.waiting > 0 order by o.waiting desc, o.team_id, o.channel limit 20) t), '[]'))
               from status s),
           'failures', (
             select coalesce(jsonb_agg(to_jsonb(f) order by f.deliveries desc, f.error collate \"C\"), '[]')
               from (select coalesce(d.error, 'unknown_error') as error, d.needed, count(*) as deliveries,
                            count(distinct d.channel) as channels, max(d.done_at) as last_at
                       from lockstep.slack_delivery d where d.status = 'failed' and d.schema = $1 group by 1, 2) f),
           'backfills', (
             select coalesce(jsonb_agg(to_jsonb(b) - 'pids' - 'role' - 'settings' order by b.run desc), '[]')
               from (select * from lockstep.backfill_progress p order by p.run desc limit 20) b),
           'features', (
             select coalesce(jsonb_agg(jsonb_build_object('name', f.name, 'state', f.state, 'percentage_of_actors', f.percentage_of_actors,
                      'percentage_of_time', f.percentage_of_time, 'actors', cardinality(f.actors), 'groups', f.groups,
                      'updated_at', f.updated_at) order by f.name collate \"C\"), '[]')
               from lockstep.features f where f.schema = $1 or f.schema is null),
           'cache_columns', (
             select coalesce(jsonb_agg(jsonb_build_object('table', c.target_table::text, 'column', c.target_column, 'state', c.state)
                      order by c.target_table::text collate \"C\", c.target_column collate \"C\"), '[]')
               from lockstep.cache_columns c))",
        &[pg_sys::TEXTOID],
    ));
}

/// What a status page shows.
#[pg_extern(sql = r#"
create function lockstep.status_report(schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.status_report(text) is
  'what a status page shows: queue, deliveries, failures by cause, backfills, feature flags, cache columns; whoever may call it sees those of all';
revoke execute on function lockstep.status_report(text) from public;
"#)]
fn status_report(schema: Option<&str>) -> JsonB {
    let schema = required(schema, "schema");
    report(schema).or_raise()
}

fn report(schema: &str) -> Result<JsonB> {
    let mut report = None;
    REPORT
        .with(|statement| statement.rows(&[datum(schema)], |row| report = row.get::<JsonB>(1)))?;
    Ok(report.unwrap_or(JsonB(Value::Null)))
}
