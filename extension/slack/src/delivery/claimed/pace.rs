//! The pace of each workspace over all its channels and senders, by the generic cell rate algorithm. Each message uses up one
//! interval, and a burst may be sent at once. No minute exceeds the limit, wherever it starts: the interval leaves room for a
//! burst.

use crate::error::{DeliveryError, Result};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::BTreeMap;

/// A minute, plus a second during which a message may be in flight while the next one is not.
const MINUTE: i64 = 61_000_000;
/// A burst is a minute's messages divided by this.
const BURST: i64 = 10;
const MOST_PER_MINUTE: i32 = 100_000;
/// The method for most messages.
pub(super) const POST: &str = "chat.postMessage";

struct Statements {
    room: OwnStatement,
    begin: OwnStatement,
    lock: OwnStatement,
    admit: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        room: OwnStatement::by_index(
            &format!(
                "select p.team_id, {ROOM}
                   from (select clock_timestamp()) now (at)
                  cross join unnest($2) t (id) join lockstep_internal.slack_team_pace p
                     on p.schema = $1 and p.team_id = t.id and p.method = $5"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
            ],
            &["schema"],
        ),
        begin: OwnStatement::by_index(
            "insert into lockstep_internal.slack_team_pace (schema, team_id, method, free_at)
             select $1, t.id, $3, '-infinity' from unnest($2) with ordinality t (id, place) order by t.place on conflict do nothing",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        lock: OwnStatement::by_index(
            "select from unnest($2) with ordinality t (id, place)
               join lockstep_internal.slack_team_pace p on p.schema = $1 and p.team_id = t.id and p.method = $3
              order by t.place for no key update of p",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        // A separate statement, because the time counts once the rows are locked.
        admit: OwnStatement::by_index(
            &format!(
                "with admitted as materialized (
                   select p.team_id, now.at, least(t.wanted, {ROOM}) as messages
                     from (select clock_timestamp()) now (at)
                    cross join unnest($2, $5) t (id, wanted)
                     join lockstep_internal.slack_team_pace p on p.schema = $1 and p.team_id = t.id and p.method = $6)
                 update lockstep_internal.slack_team_pace p
                    set free_at = greatest(case when p.free_at <= a.at + interval '5 minutes' then p.free_at end, a.at) + a.messages * $3 * interval '1 microsecond'
                   from admitted a where p.schema = $1 and p.team_id = a.team_id and p.method = $6 and a.messages > 0
                 returning p.team_id, a.messages"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
            ],
            &["schema"],
        ),
    };
}

/// How many messages the workspace of row `p` may send at `now.at`: `$3` is the interval of one, `$4` how far ahead they may be,
/// both in microseconds. Nobody is ever further ahead than a minute: a later time was written while the clock was wrong.
pub(super) const ROOM: &str = "greatest(0, $4 + $3 - (extract(epoch from greatest(case when p.free_at <= now.at + interval '5 minutes' then p.free_at end, now.at) - now.at) * 1000000)::int8) / $3";

/// The share of a workspace's messages per minute that may be updates, like the limits of Slack's methods: 50 of 300.
const UPDATES: i32 = 6;

/// A number of messages per minute.
#[derive(Clone, Copy)]
pub(super) struct Pace {
    method: &'static str,
    per_minute: i32,
    /// Microseconds per message, rounded up.
    interval: i64,
    burst: i64,
}

impl Pace {
    pub(super) fn per_minute(per_minute: i32) -> Result<Self> {
        match (1..=MOST_PER_MINUTE).contains(&per_minute) {
            true => Ok(Self::new(POST, per_minute)),
            false => Err(DeliveryError::PerMinute { per_minute }.into()),
        }
    }

    /// The pace of updates beside that of messages.
    pub(super) fn of_updates(self) -> Self {
        Self::new("chat.update", (self.per_minute / UPDATES).max(1))
    }

    fn new(method: &'static str, messages: i32) -> Self {
        let per_minute = i64::from(messages);
        let burst = (per_minute / BURST).max(1);
        // A minute holds a burst plus as many messages as it has whole intervals.
        let others = per_minute - burst + 1;
        Self {
            method,
            per_minute: messages,
            interval: (MINUTE + others - 1) / others,
            burst,
        }
    }

    /// Microseconds per message.
    pub(super) fn interval(self) -> i64 {
        self.interval
    }

    /// How far ahead of their time messages may be, in microseconds.
    pub(super) fn ahead(self) -> i64 {
        (self.burst - 1) * self.interval
    }

    /// How many messages each workspace may send now, at most a burst. Other sessions may use them up.
    pub(super) fn room(self, schema: &str, teams: Vec<&str>) -> Result<BTreeMap<String, i64>> {
        let mut room = BTreeMap::new();
        let arguments = [
            datum(schema),
            datum(teams),
            datum(self.interval),
            datum(self.ahead()),
            datum(self.method),
        ];
        STATEMENTS.with(|statements| {
            statements.room.rows(&arguments, |row| {
                room.extend(row.get::<String>(1).zip(row.get::<i64>(2)));
            })
        })?;
        Ok(room)
    }

    pub(super) fn burst(self) -> i64 {
        self.burst
    }

    /// Lets workspaces send messages, given how many are wanted for each; these count from now on. Everyone first inserts missing
    /// rows and then locks all, in the same order, so that two claims never deadlock.
    pub(super) fn admit(
        self,
        schema: &str,
        wanted: &BTreeMap<String, i64>,
    ) -> Result<BTreeMap<String, i64>> {
        let teams: Vec<&str> = wanted.keys().map(String::as_str).collect();
        let counts: Vec<i64> = wanted.values().copied().collect();
        let known = self.room(schema, teams.clone())?;
        let missing: Vec<&str> = teams
            .iter()
            .copied()
            .filter(|team| !known.contains_key(*team))
            .collect();
        let mut admitted = BTreeMap::new();
        STATEMENTS.with(|statements| {
            if !missing.is_empty() {
                statements
                    .begin
                    .run(&[datum(schema), datum(missing), datum(self.method)])?;
            }
            statements
                .lock
                .run(&[datum(schema), datum(teams.clone()), datum(self.method)])?;
            let arguments = [
                datum(schema),
                datum(teams),
                datum(self.interval),
                datum(self.ahead()),
                keys_argument(&counts),
                datum(self.method),
            ];
            statements.admit.rows(&arguments, |row| {
                admitted.extend(row.get::<String>(1).zip(row.get::<i64>(2)));
            })
        })?;
        Ok(admitted)
    }
}
