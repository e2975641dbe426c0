//! Channels: which are due, and who sends to them. If a channel is known by several names, one of their rows stands for all: its
//! lane.

use crate::error::Result;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::datum::{Interval, TimestampWithTimeZone};
use pgrx::pg_sys::{self, Datum};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::mem::ManuallyDrop;

/// How many channels with waiting deliveries are examined at once. Each costs 3 microseconds, however many deliveries it has.
pub(super) const WINDOW: i32 = 1_000;

/// Channels that are due in less than so many microseconds are not worth parking: each is due a second after its last message.
pub(super) const SOON: i64 = 2_000_000;

struct Statements {
    window: OwnStatement,
    lock: OwnStatement,
    count_lost: OwnStatement,
    end_leases: OwnStatement,
    divert: OwnStatement,
    hold: OwnStatement,
    lease: OwnStatement,
}

thread_local! {
    // Never dropped: when the process ends, the memory of its plans may already be gone.
    static STATEMENTS: ManuallyDrop<Statements> = ManuallyDrop::new(Statements {
        // Skips from channel to channel in the index, past the other deliveries of each. A delivery whose channel is gone does
        // not end the scan.
        window: OwnStatement::by_index(
            &format!(
                "with recursive {WAITING}
                 select w.lane, case when {DUE} then c.team_id end, c.not_before,
                        not {DUE} and c.lease is null and c.not_before > clock_timestamp() + interval '{SOON} microseconds'
                   from waiting w
                   left join lockstep_internal.slack_channel c on c.id = w.lane and c.schema = $3
                  where w.lane is not null limit $2"
            ),
            &[pg_sys::INT8OID, pg_sys::INT4OID, pg_sys::TEXTOID],
            &["lane", "id"],
        ),
        lock: OwnStatement::by_index(
            &format!(
                "select c.id, c.team_id, c.channel, c.lease is not null, c.same_as is not null
                   from unnest($1) with ordinality p (id, place) join lockstep_internal.slack_channel c on c.id = p.id
                  where {DUE} order by p.place limit $2 for no key update of c skip locked"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::INT4OID],
            &["id"],
        ),
        count_lost: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d set uncertain = d.uncertain + 1, failures = d.failures + 1
               from lockstep_internal.slack_channel c where c.id = any ($1) and d.id = c.delivery and d.status = 'waiting'",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        end_leases: OwnStatement::by_index(
            "update lockstep_internal.slack_channel
                set lease = null, leased_until = null, delivery = null, subject = null where id = any ($1)",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        divert: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d set lane = c.same_as, is_parked = false
               from unnest($1) p (id) join lockstep_internal.slack_channel c on c.id = p.id
              where d.lane = c.id and d.status = 'waiting' and c.same_as is not null",
            &[pg_sys::INT8ARRAYOID],
            &["id", "lane"],
        ),
        hold: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c
                set paced_at = clock_timestamp(), not_before = clock_timestamp() + $2 * interval '1 microsecond',
                    parked = case when c.parked is not null then 'time' end
              where c.id = any ($1)",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["id"],
        ),
        lease: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c
                set lease = $4, leased_until = clock_timestamp() + $5, delivery = n.delivery, subject = n.subject,
                    paced_at = clock_timestamp(), not_before = clock_timestamp() + interval '1 second',
                    parked = case when c.parked is not null then 'time' end
               from unnest($1, $2, $3) n (channel, delivery, subject) where c.id = n.channel",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8OID,
                pg_sys::INTERVALOID,
            ],
            &["id"],
        ),
    });

    /// The channel after which this session's next claim starts looking.
    static PLACE: Cell<i64> = const { Cell::new(i64::MIN) };
}

/// Whether channel `c` is due. What was written at a time that is yet to come was written while the clock was wrong: it would mute
/// the channel until that time.
pub(super) const DUE: &str = "(c.paced_at > clock_timestamp() + interval '5 minutes'
       or c.not_before <= clock_timestamp() and (c.lease is null or c.leased_until <= clock_timestamp()))";

/// The lanes with waiting deliveries that are not parked, in order, after `$1`; null ends the list.
pub(super) const WAITING: &str = "waiting (lane) as (
       select (select d.lane from lockstep_internal.slack_delivery d
                where d.status = 'waiting' and not d.is_parked and d.lane > $1 order by d.lane, d.id limit 1)
       union all
       select (select d.lane from lockstep_internal.slack_delivery d
                where d.status = 'waiting' and not d.is_parked and d.lane > w.lane order by d.lane, d.id limit 1)
         from waiting w where w.lane is not null)";

/// A channel that is due.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) id: i64,
    pub(super) team: String,
    pub(super) since: TimestampWithTimeZone,
}

/// A channel whose row this transaction has locked.
#[derive(Clone, Debug)]
pub(super) struct Locked {
    pub(super) id: i64,
    pub(super) team: String,
    pub(super) channel: String,
    is_lost: bool,
    /// Another row now has the channel's order and pace.
    is_diverted: bool,
}

/// Looks for more due channels until `is_enough` accepts what was found. With thousands waiting, it continues where it stopped
/// last time. What is `due` from the start is not found again. Returns those that wait long.
pub(super) fn look(
    schema: &str,
    due: &mut Vec<Due>,
    mut is_enough: impl FnMut(&[Due]) -> Result<bool>,
) -> Result<Vec<i64>> {
    let start = PLACE.get();
    let known: BTreeSet<i64> = due.iter().map(|it| it.id).collect();
    let mut early = Vec::new();
    let mut place = start;
    let mut is_round = false;
    loop {
        let before = due.len();
        let (seen, last) = look_on(schema, place, &known, due, &mut early)?;
        if let Some(last) = last {
            place = last;
        }
        if is_round && place >= start {
            // Wrapped around: the rest has already been seen.
            let others = due.split_off(before);
            due.extend(others.into_iter().filter(|it| it.id <= start));
            break;
        }
        if seen < WINDOW {
            if is_round || start == i64::MIN {
                place = i64::MIN;
                break;
            }
            is_round = true;
            place = i64::MIN;
        }
        if is_enough(due)? {
            break;
        }
    }
    PLACE.set(place);
    due.sort_by_key(|it| (it.since.into_inner(), it.id));
    Ok(early)
}

/// One window: how many channels were seen, and the last of them.
fn look_on(
    schema: &str,
    after: i64,
    known: &BTreeSet<i64>,
    due: &mut Vec<Due>,
    early: &mut Vec<i64>,
) -> Result<(i32, Option<i64>)> {
    let arguments = [datum(after), datum(WINDOW), datum(schema)];
    let mut seen = 0;
    let mut last = None;
    STATEMENTS.with(|statements| {
        statements.window.rows(&arguments, |row| {
            seen += 1;
            last = last.max(row.get::<i64>(1));
            if let (Some(id), Some(team), Some(since)) = (row.get(1), row.get(2), row.get(3))
                && !known.contains(&id)
            {
                due.push(Due { id, team, since });
            }
            if row.get(4) == Some(true) {
                early.extend(row.get::<i64>(1));
            }
        })
    })?;
    Ok((seen, last))
}

/// Locks up to `most` of these channels in the given order, skipping those that are locked or no longer due. Expired leases end.
/// Deliveries that wait in a row that is no longer a lane move to the lane, for the next claim.
pub(super) fn lock(channels: &[i64], most: i32) -> Result<Vec<Locked>> {
    let mut locked: Vec<Locked> = Vec::new();
    let arguments = [keys_argument(channels), datum(most)];
    STATEMENTS.with(|statements| {
        statements.lock.rows(&arguments, |row| {
            locked.push(Locked {
                id: row.get(1).unwrap_or_default(),
                team: row.get(2).unwrap_or_default(),
                channel: row.get(3).unwrap_or_default(),
                is_lost: row.get(4).unwrap_or_default(),
                is_diverted: row.get(5).unwrap_or_default(),
            });
        })?;
        let lost = locked.iter().filter(|it| it.is_lost);
        let lost: Vec<i64> = lost.map(|it| it.id).collect();
        if !lost.is_empty() {
            statements.count_lost.run(&[keys_argument(&lost)])?;
            statements.end_leases.run(&[keys_argument(&lost)])?;
        }
        let diverted = locked.extract_if(.., |it| it.is_diverted);
        let diverted: Vec<i64> = diverted.map(|it| it.id).collect();
        divert(&diverted)?;
        Ok::<_, crate::error::Error>(())
    })?;
    Ok(locked)
}

/// Moves deliveries from rows that are no longer lanes to the lanes. The transaction has locked these rows.
pub(super) fn divert(channels: &[i64]) -> Result<()> {
    if !channels.is_empty() {
        STATEMENTS.with(|statements| statements.divert.run(&[keys_argument(channels)]))?;
    }
    Ok(())
}

/// Delays channels that this transaction has locked by this many microseconds.
pub(super) fn hold(channels: &[i64], interval: i64) -> Result<()> {
    if !channels.is_empty() {
        let arguments = [keys_argument(channels), datum(interval)];
        STATEMENTS.with(|statements| statements.hold.run(&arguments))?;
    }
    Ok(())
}

/// What to send to a channel.
pub(super) struct Next {
    pub(super) channel: i64,
    pub(super) delivery: i64,
    pub(super) subject: Option<String>,
}

/// Leases channels that this transaction has locked.
pub(super) fn lease(next: &[Next], lease: i64, lease_for: Interval) -> Result<()> {
    let channels: Vec<i64> = next.iter().map(|it| it.channel).collect();
    let deliveries: Vec<i64> = next.iter().map(|it| it.delivery).collect();
    let subjects: Vec<Option<&str>> = next.iter().map(|it| it.subject.as_deref()).collect();
    let arguments: [Datum; 5] = [
        keys_argument(&channels),
        keys_argument(&deliveries),
        datum(subjects),
        datum(lease),
        datum(lease_for),
    ];
    STATEMENTS.with(|statements| statements.lease.run(&arguments))?;
    Ok(())
}
