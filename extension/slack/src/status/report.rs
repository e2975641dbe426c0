//! Everything that a status page shows, in one answer.

use crate::error::{OrRaise, Result, required};
use lockstep_server::{OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;
use std::mem::ManuallyDrop;

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static REPORT: ManuallyDrop<OwnStatement> = ManuallyDrop::new(OwnStatement::new(
        "with waiting as materialized (
           select o.channel, count(*) as waiting, min(o.created_at) as oldest, min(o.id) as first
             from lockstep.slack_delivery o where o.status = 'waiting' and o.schema = $1 group by o.channel),
         done as materialized (
           select count(*) filter (where o.status = 'delivered') as delivered, count(*) filter (where o.status = 'failed') as failed
             from lockstep.slack_delivery o
            where o.status <> 'waiting' and o.done_at > (select clock_timestamp() - interval '1 hour') and o.schema = $1)
         select jsonb_build_object(
           'at', clock_timestamp(),
           'is_held', (
             select count(*) <> 2 or bool_or(h.database <> (select d.oid from pg_database d where d.datname = current_database()))
               from (select j.database from lockstep.home j union all select s.database from lockstep.slack_home s) h),
           'queue', (
             select coalesce(jsonb_agg(to_jsonb(w) order by w.worker collate \"C\"), '[]') from lockstep.worker_status w
              where not w.drained or w.renamed_to is not null),
           'deliveries', (
             select jsonb_build_object(
                      'waiting', coalesce(sum(w.waiting), 0), 'oldest', min(w.oldest),
                      'delivered_last_hour', (select d.delivered from done d),
                      'failed_last_hour', (select d.failed from done d),
                      'channels_waiting', count(*),
                      'channels_held', (
                        select count(*) from lockstep.slack_channel c
                         where c.schema = $1 and c.not_before > (select clock_timestamp() + interval '1 second')),
                      'channels', coalesce((
                        select jsonb_agg(to_jsonb(t) order by t.waiting desc, t.team_id collate \"C\", t.channel collate \"C\")
                          from (select c.team_id, c.channel, o.waiting, o.oldest,
                                       case when l.not_before > clock_timestamp() then l.not_before end as held_until,
                                       coalesce(t.error, d.error) as last_error, coalesce(t.needed, d.needed) as needed
                                  from (select * from waiting m order by m.waiting desc, m.channel limit 20) o
                                  join lockstep.slack_channel c on c.id = o.channel
                                  join lockstep.slack_channel l on l.id = coalesce(c.same_as, c.id)
                                  join lockstep.slack_delivery d on d.id = o.first
                                  left join lateral (
                                    select r.error, r.needed from lockstep.slack_channel_trouble r
                                     where r.schema = c.schema and r.team_id = c.team_id and r.channel = c.channel
                                     order by r.last_at desc limit 1) t on true) t), '[]'))
               from waiting w),
           'failures', (
             select coalesce(jsonb_agg(to_jsonb(f) order by f.deliveries desc, f.error collate \"C\"), '[]')
               from (select coalesce(d.error, 'unknown_error') as error, d.needed, count(*) as deliveries,
                            count(distinct d.channel) as channels, max(d.done_at) as last_at
                       from lockstep.slack_delivery d where d.status = 'failed' and d.schema = $1 group by 1, 2) f),
           'backfills', (
             select coalesce(jsonb_agg(to_jsonb(b) - 'pids' - 'role' - 'settings' order by b.run desc), '[]')
               from (select * from lockstep.backfill_progress p order by p.run desc limit 20) b),
           'cache_columns', (
             select coalesce(jsonb_agg(jsonb_build_object('table', c.target_table::text, 'column', c.target_column, 'state', c.state)
                      order by c.target_table::text collate \"C\", c.target_column collate \"C\"), '[]')
               from lockstep.cache_columns c),
           'features', lockstep.feature_report($1))",
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
