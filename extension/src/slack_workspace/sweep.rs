//! Removes what is no longer needed.

use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use pgrx::prelude::*;
use std::mem::ManuallyDrop;

struct Own {
    events: OwnStatement,
    states: OwnStatement,
    tickets: OwnStatement,
    deliveries: OwnStatement,
    delivered_events: OwnStatement,
    messages: OwnStatement,
    troubles: OwnStatement,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Own> = ManuallyDrop::new(Own {
        // Slack delivers an event again for hours, not for days.
        events: OwnStatement::new(
            "delete from lockstep.slack_event e
              where e.received_at < clock_timestamp() - interval '1 day'
                and not exists (select from lockstep.job j where j.id = e.job)",
            &[],
        ),
        states: OwnStatement::new(
            "delete from lockstep.slack_install_state
              where coalesce(taken_at, expires_at) < clock_timestamp() - interval '1 day'",
            &[],
        ),
        tickets: OwnStatement::new(
            "delete from lockstep.slack_install_ticket t
              where coalesce(t.used_at, t.expires_at) < clock_timestamp() - interval '1 day'
                and not exists (select from lockstep.slack_install_state s where s.ticket = t.token_digest)",
            &[],
        ),
        // A time from a subquery, as an index is not walked up to one that changes.
        deliveries: OwnStatement::new(
            "delete from lockstep.slack_delivery d
              where d.id = any (array(
                select o.id from lockstep.slack_delivery o
                 where o.status <> 'waiting' and o.done_at < (select clock_timestamp() - interval '1 day')
                 order by o.done_at limit 10000 for update skip locked))",
            &[],
        ),
        delivered_events: OwnStatement::new(
            "delete from lockstep.event e
              where e.id = any (array(
                select o.id from lockstep.event o
                 where o.received_at < (select clock_timestamp() - interval '1 day')
                   and not exists (select from lockstep.slack_delivery d where d.event = o.id)
                 order by o.received_at limit 10000 for update skip locked))",
            &[],
        ),
        // Whoever tries a channel hears of it again.
        troubles: OwnStatement::new(
            "delete from lockstep.slack_channel_trouble t where t.last_at < clock_timestamp() - interval '30 days'",
            &[],
        ),
        messages: OwnStatement::new(
            "delete from lockstep.slack_message m using (
               select o.channel, o.subject from lockstep.slack_message o
                where o.at < (select clock_timestamp() - interval '14 days') order by o.at limit 10000 for update skip locked) old
              where m.channel = old.channel and m.subject = old.subject",
            &[],
        ),
    });
}

/// Removes events, states, tickets and deliveries that have ended a day ago, and messages that nothing was said of for two weeks; no
/// more at once than a transaction is to hold on to.
#[pg_extern(sql = r#"
create function lockstep.sweep_slack(schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.sweep_slack(text) is
  'removes events of Slack older than a day whose job is gone, and states and tickets of installations that ended a day ago, deliveries done a day ago with their events, messages two weeks old, troubles of channels that nothing was sent to for 30 days, 10,000 of each at most; returns how many: call it again as long as that is 10,000 or more';
revoke execute on function lockstep.sweep_slack(text) from public;
"#)]
fn sweep_slack(schema: Option<&str>) -> i64 {
    let schema = required(schema, "schema");
    let sweep = || -> Result<i64> {
        Tables::attached(schema)?;
        STATEMENTS.with(|statements| {
            let events = statements.events.run(&[])?;
            let states = statements.states.run(&[])?;
            let tickets = statements.tickets.run(&[])?;
            // Deliveries before the events that they are of.
            let deliveries = statements.deliveries.run(&[])?;
            let delivered_events = statements.delivered_events.run(&[])?;
            let messages = statements.messages.run(&[])?;
            let troubles = statements.troubles.run(&[])?;
            let all = [
                events,
                states,
                tickets,
                deliveries,
                delivered_events,
                messages,
                troubles,
            ];
            Ok(all.iter().sum::<u64>() as i64)
        })
    };
    sweep().or_raise()
}
