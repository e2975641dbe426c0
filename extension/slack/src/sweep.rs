//! Removes data that is no longer needed.

use crate::error::{OrRaise, Result, required};
use crate::event::{sweep_gone, sweep_subscriptions};
use crate::slack_workspace::Tables;
use lockstep_server::OwnStatement;
use lockstep_server::kept;
use pgrx::prelude::*;

/// At most this many rows are removed per statement.
const MOST_ROWS: usize = 10_000;

/// The columns by which they find rows. Measured: planned while the tables were small, a sweep of 20,000 events and their
/// deliveries took minutes.
const KEYS: [&str; 12] = [
    "id",
    "received_at",
    "event_id",
    "state_digest",
    "ticket",
    "token_digest",
    "done_at",
    "event",
    "channel",
    "at",
    "schema",
    "seen_on",
];

/// In this order.
const REMOVALS: [&str; 8] = [
    // Slack redelivers events for hours, not for days.
    "delete from lockstep_internal.slack_event e
          where e.event_id = any (array(
            select o.event_id from lockstep_internal.slack_event o
             where o.received_at < (select clock_timestamp() - interval '1 day')
               and not exists (select from lockstep_internal.job j where j.id = o.job)
             order by o.received_at limit 10000 for update skip locked))",
    "delete from lockstep_internal.slack_install_state s
          where s.state_digest = any (array(
            select o.state_digest from lockstep_internal.slack_install_state o
             where coalesce(o.taken_at, o.expires_at) < clock_timestamp() - interval '1 day'
             limit 10000 for update skip locked))",
    "delete from lockstep_internal.slack_install_ticket t
          where t.token_digest = any (array(
            select o.token_digest from lockstep_internal.slack_install_ticket o
             where coalesce(o.used_at, o.expires_at) < clock_timestamp() - interval '1 day'
               and not exists (select from lockstep_internal.slack_install_state s where s.ticket = o.token_digest)
             limit 10000 for update skip locked))",
    // Deliveries before their events. The time comes from a subquery, because a volatile expression cannot be an index bound.
    "delete from lockstep_internal.slack_delivery d
          where d.id = any (array(
            select o.id from lockstep_internal.slack_delivery o
             where o.status <> 'waiting' and o.done_at < (select clock_timestamp() - interval '1 day')
             order by o.done_at limit 10000 for update skip locked))",
    "delete from lockstep_internal.event e
          where e.id = any (array(
            select o.id from lockstep_internal.event o
             where o.received_at < (select clock_timestamp() - interval '1 day')
               and not exists (select from lockstep_internal.slack_delivery d where d.event = o.id)
             order by o.received_at limit 10000 for update skip locked))",
    "delete from lockstep_internal.slack_message m using (
           select o.channel, o.subject from lockstep_internal.slack_message o
            where o.at < (select clock_timestamp() - interval '14 days') order by o.at limit 10000 for update skip locked) old
          where m.channel = old.channel and m.subject = old.subject",
    // The next attempt to send to the channel reports it again.
    "delete from lockstep_internal.slack_channel_trouble t using (
           select o.schema, o.integration_id, o.team_id, o.channel from lockstep_internal.slack_channel_trouble o
            where o.last_at < clock_timestamp() - interval '30 days' limit 10000 for update skip locked) old
          where t.schema = old.schema and t.integration_id = old.integration_id and t.team_id = old.team_id and t.channel = old.channel",
    // Most branches are merged and gone by then.
    "delete from lockstep_internal.pipeline_status p using (
           select o.schema, o.project_id, o.ref from lockstep_internal.pipeline_status o
            where o.seen_on < (select current_date - 90) order by o.seen_on limit 10000 for update skip locked) old
          where p.schema = old.schema and p.project_id = old.project_id and p.ref = old.ref",
];

kept! {
    static STATEMENTS: [OwnStatement; 8] = REMOVALS.map(|text| OwnStatement::by_index(text, &[], &KEYS));
    static SWEEP: OwnStatement = OwnStatement::new("select lockstep.sweep()", &[]);
}

/// Removes events, states, tickets and deliveries that ended a day ago, messages without updates for two weeks, and data about
/// old pipelines, unused channels and removed integrations; limited to what one transaction should hold.
#[pg_extern(sql = r#"
create function lockstep.sweep_slack(schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.sweep_slack(text) is
  'removes events of Slack older than a day whose job is gone, and states and tickets of installations that ended a day ago, deliveries done a day ago with their events, messages two weeks old, troubles of channels that nothing was sent to for 30 days or that get no messages any more, how pipelines of branches ended that had none for 90 days, settings of integrations and subscriptions to projects that are gone, and what lockstep.sweep removes, 10,000 of each at most; returns how many: call it again as long as that is 10,000 or more';
revoke execute on function lockstep.sweep_slack(text) from public;
grant execute on function lockstep.sweep_slack(text) to lockstep_admin;
"#)]
fn sweep_slack(schema: Option<&str>) -> i64 {
    let schema = required(schema, "schema");
    let sweep = || -> Result<i64> {
        Tables::attached(schema)?;
        let mut removed = 0;
        STATEMENTS.with(|statements| {
            for statement in statements.iter() {
                removed += statement.run(&[])?;
            }
            Ok::<_, crate::error::Error>(())
        })?;
        removed += sweep_gone(schema, MOST_ROWS)?;
        removed += sweep_subscriptions(schema, MOST_ROWS)?;
        let mut of_others = 0;
        SWEEP.with(|sweep| sweep.rows(&[], |row| of_others = row.get(1).unwrap_or(0)))?;
        Ok(removed as i64 + of_others)
    };
    sweep().or_raise()
}
