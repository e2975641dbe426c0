//! A channel may be addressed by name and by id. Slack's response to a message says which belong together; from then on the row
//! first known by the id holds order and pace for all names.

use crate::delivery::channel;
use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::BTreeMap;

struct Statements {
    name: OwnStatement,
    join: OwnStatement,
    pace: OwnStatement,
    leave: OwnStatement,
}

kept! {
    // Skips rows that others have locked, so that two senders never deadlock: the next message will report the same again.
    static STATEMENTS: Statements = Statements {
        name: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c set slack_id = n.slack_id
               from (select o.id, r.slack_id from unnest($1, $2) r (channel, slack_id)
                       join lockstep_internal.slack_channel o on o.id = r.channel
                      order by o.id for no key update of o skip locked) n
              where c.id = n.id and c.slack_id is distinct from n.slack_id",
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTARRAYOID],
            &["id"],
        ),
        // Joins all rows with that id, because the row known first may be learned last; but not while somebody is sending there.
        join: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c set same_as = nullif(n.first, n.id)
               from (select o.id, coalesce(o.same_as, o.id) as lane, (select min(s.id) from lockstep_internal.slack_channel s
                                    where s.slack_id = o.slack_id and s.team_id = o.team_id and s.schema = o.schema) as first
                       from lockstep_internal.slack_channel o
                      where o.id = any (array(
                              select s.id from unnest($1) r (channel) join lockstep_internal.slack_channel l on l.id = r.channel
                                join lockstep_internal.slack_channel s
                                  on s.slack_id = l.slack_id and s.team_id = l.team_id and s.schema = l.schema))
                        and o.lease is null
                      order by o.id for no key update of o skip locked) n
              where c.id = n.id and c.same_as is distinct from nullif(n.first, n.id)
             returning c.id, n.lane, coalesce(c.same_as, c.id)",
            &[pg_sys::INT8ARRAYOID],
            &["id", "slack_id"],
        ),
        pace: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c set not_before = n.not_before, paced_at = n.paced_at
               from (select m.new, max(o.not_before) as not_before, max(o.paced_at) as paced_at from unnest($1, $2) m (old, new)
                       join lockstep_internal.slack_channel o on o.id = m.old group by m.new) n
              where c.id = n.new and c.not_before < n.not_before
                and c.id in (select l.id from lockstep_internal.slack_channel l where l.id = any ($2) order by l.id for no key update of l skip locked)",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        // Ends what is being sent in the old lane.
        leave: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d set lane = m.new, is_parked = false
               from unnest($1, $2, $3) m (channel, old, new) join lockstep_internal.slack_channel l on l.id = m.old
              where d.lane = m.old and d.channel = m.channel and d.status = 'waiting' and d.id is distinct from l.delivery",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID],
            &["id", "lane"],
        ),
    };
}

/// A row that moves to another lane.
struct Moved {
    channel: i64,
    old: i64,
    new: i64,
}

/// Stores Slack's channel ids and joins rows of the same channel. Waiting deliveries move at the same time: otherwise newly
/// published ones could overtake them.
pub(super) fn learn(slack_ids: BTreeMap<i64, &str>) -> Result<()> {
    if slack_ids.is_empty() {
        return Ok(());
    }
    let channels: Vec<i64> = slack_ids.keys().copied().collect();
    let slack_ids: Vec<&str> = slack_ids.into_values().collect();
    let mut moved = Vec::new();
    STATEMENTS.with(|statements| {
        statements
            .name
            .run(&[keys_argument(&channels), datum(slack_ids)])?;
        statements.join.rows(&[keys_argument(&channels)], |row| {
            moved.push(Moved {
                channel: row.get(1).unwrap_or_default(),
                old: row.get(2).unwrap_or_default(),
                new: row.get(3).unwrap_or_default(),
            });
        })
    })?;
    moved.retain(|it| it.old != it.new);
    follow(&moved)
}

/// Moves pace and order of the rows.
fn follow(moved: &[Moved]) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    let old: Vec<i64> = moved.iter().map(|it| it.old).collect();
    let new: Vec<i64> = moved.iter().map(|it| it.new).collect();
    let (lanes, names): (Vec<&Moved>, Vec<&Moved>) =
        moved.iter().partition(|it| it.old == it.channel);
    STATEMENTS.with(|statements| {
        statements
            .pace
            .run(&[keys_argument(&old), keys_argument(&new)])?;
        if !names.is_empty() {
            let of = |place: fn(&Moved) -> i64| -> Vec<i64> {
                names.iter().map(|it| place(it)).collect()
            };
            let arguments = [
                keys_argument(&of(|it| it.channel)),
                keys_argument(&of(|it| it.old)),
                keys_argument(&of(|it| it.new)),
            ];
            statements.leave.run(&arguments)?;
        }
        Ok::<_, crate::error::Error>(())
    })?;
    // Including rows that had joined them.
    let lanes: Vec<i64> = lanes.into_iter().map(|it| it.channel).collect();
    channel::divert(&lanes)
}
