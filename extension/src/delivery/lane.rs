//! A channel may be called by its name and by its id. Slack tells which is which once it has taken a message; from then on one row, the
//! first one that was known by the id, has order and pace for all of its names.

use super::channel;
use crate::error::Result;
use crate::own_statement::OwnStatement;
use crate::server::{datum, keys_argument};
use pgrx::pg_sys;
use std::collections::BTreeMap;
use std::mem::ManuallyDrop;

struct Statements {
    name: OwnStatement,
    join: OwnStatement,
    pace: OwnStatement,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    // Rows that others have locked are passed by, so that two who hand in never wait for each other: the next message tells it again.
    static STATEMENTS: ManuallyDrop<Statements> = ManuallyDrop::new(Statements {
        name: OwnStatement::by_index(
            "update lockstep.slack_channel c set slack_id = n.slack_id
               from (select o.id, r.slack_id from unnest($1, $2) r (channel, slack_id)
                       join lockstep.slack_channel o on o.id = r.channel
                      order by o.id for no key update of o skip locked) n
              where c.id = n.id and c.slack_id is distinct from n.slack_id",
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTARRAYOID],
            &["id"],
        ),
        join: OwnStatement::by_index(
            "update lockstep.slack_channel c set same_as = nullif(n.first, n.id)
               from (select o.id, (select min(s.id) from lockstep.slack_channel s
                                    where s.slack_id = o.slack_id and s.team_id = o.team_id and s.schema = o.schema) as first
                       from unnest($1) r (channel) join lockstep.slack_channel o on o.id = r.channel
                      order by o.id for no key update of o skip locked) n
              where c.id = n.id and c.same_as is distinct from nullif(n.first, n.id)",
            &[pg_sys::INT8ARRAYOID],
            &["id", "slack_id"],
        ),
        pace: OwnStatement::by_index(
            "update lockstep.slack_channel c set not_before = n.not_before
               from (select l.id, max(o.not_before) as not_before from unnest($1) r (channel)
                       join lockstep.slack_channel o on o.id = r.channel join lockstep.slack_channel l on l.id = o.same_as
                      group by l.id) n
              where c.id = n.id and c.not_before < n.not_before
                and c.id in (select l.id from unnest($1) r (channel) join lockstep.slack_channel o on o.id = r.channel
                               join lockstep.slack_channel l on l.id = o.same_as order by l.id for no key update of l skip locked)",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
    });
}

/// Takes down what Slack calls channels, and joins those that are the same.
pub(super) fn learn(slack_ids: BTreeMap<i64, &str>) -> Result<()> {
    if slack_ids.is_empty() {
        return Ok(());
    }
    let channels: Vec<i64> = slack_ids.keys().copied().collect();
    let slack_ids: Vec<&str> = slack_ids.into_values().collect();
    STATEMENTS.with(|statements| {
        statements
            .name
            .run(&[keys_argument(&channels), datum(slack_ids)])?;
        statements.join.run(&[keys_argument(&channels)])?;
        statements.pace.run(&[keys_argument(&channels)])?;
        // At once, or what is published from now on could be ahead of it.
        channel::divert(&channels)
    })
}
