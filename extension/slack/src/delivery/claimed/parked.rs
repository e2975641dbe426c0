//! Channels that wait long, kept out of the way of looks. A look reads every channel that has something to send and is not parked,
//! so where it finds very many that are not due it parks them: an index finds them when their own time has come, or when their
//! workspace may send again. What is published meanwhile is not parked, so looks find the channel by that as well.
//!
//! Everything here passes by what others have locked. Other claims wait for who has locked a workspace's pace, so all that takes
//! long comes before the claim locks one, and the workspaces are written last.

use super::pace::{POST, Pace, ROOM};
use crate::delivery::channel::{Due, SOON, WINDOW};
use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

struct Statements {
    due: OwnStatement,
    due_of_teams: OwnStatement,
    lock: OwnStatement,
    park: OwnStatement,
    park_deliveries: OwnStatement,
    wait_for_time: OwnStatement,
    lock_teams: OwnStatement,
    mark_teams: OwnStatement,
    release: OwnStatement,
    postpone: OwnStatement,
    unmark_teams: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        due: OwnStatement::by_index(
            &format!(
                "select c.id, c.team_id, c.not_before, {IS_WAITED_FOR} from (
                   (select o.id, o.team_id, o.not_before from lockstep_internal.slack_channel o
                     where o.schema = $1 and o.due_at <= (select clock_timestamp()) order by o.due_at limit $2)
                   union
                   (select o.id, o.team_id, o.not_before from lockstep_internal.slack_channel o
                     where o.schema = $1 and o.parked_paced_at > (select clock_timestamp() + interval '5 minutes') limit $2)) c"
            ),
            &[pg_sys::TEXTOID, pg_sys::INT4OID],
            &["schema", "lane"],
        ),
        // Of each workspace its share of those that are wanted, and one more, which says whether it has any.
        due_of_teams: OwnStatement::by_index(
            &format!(
                "with now as materialized (select clock_timestamp() as at),
                 team as materialized (
                   select p.team_id, {ROOM} as room from now cross join (
                     (select o.team_id, o.free_at from lockstep_internal.slack_team_pace o
                       where o.schema = $1 and o.parked_free_at <= (select clock_timestamp() + $4 * interval '1 microsecond')
                       order by o.parked_free_at limit $2)
                     union
                     (select o.team_id, o.free_at from lockstep_internal.slack_team_pace o
                       where o.schema = $1 and o.parked_free_at > (select clock_timestamp() + interval '5 minutes') limit $2)) p)
                 select c.id, t.team_id, c.not_before, {IS_WAITED_FOR} from team t left join lateral (
                   select o.id, o.not_before from lockstep_internal.slack_channel o
                    where o.schema = $1 and o.team_id = t.team_id and o.team_due_at <= (select clock_timestamp())
                    order by o.team_due_at limit least(t.room, 1 + $5 / (select count(*) from team))) c on true"
            ),
            &[
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
                pg_sys::INT8OID,
            ],
            &["schema", "lane"],
        ),
        lock: OwnStatement::by_index(
            "select c.id from unnest($1) p (id) join lockstep_internal.slack_channel c on c.id = p.id for no key update of c skip locked",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        // A channel with a sender is soon free. What was written while the clock was ahead is made right: it delays nobody.
        park: OwnStatement::by_index(
            &format!(
                "update lockstep_internal.slack_channel c
                    set parked = $2, not_before = least(c.not_before, case when c.paced_at > n.at + interval '5 minutes' then n.at end), paced_at = least(c.paced_at, n.at)
                   from (select clock_timestamp() as at) n
                  where c.id = any ($1) and c.parked is distinct from $2 and c.lease is null
                    and ($2 = 'team' or c.not_before > n.at + interval '{SOON} microseconds')
                  returning c.id, c.team_id"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTOID],
            &["id"],
        ),
        // Without those that somebody has locked: they may be moving to a lane that is not parked. Looks find them where they are.
        park_deliveries: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d set is_parked = true
              where d.id = any (array(
                select o.id from unnest($1) l (id) join lockstep_internal.slack_channel c on c.id = l.id and c.parked is not null
                 cross join lateral (
                  select w.id from lockstep_internal.slack_delivery w
                   where w.lane = l.id and w.status = 'waiting' and not w.is_parked order by w.lane, w.id limit $2
                     for no key update of w skip locked) o limit $2))",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT4OID],
            &["id", "lane"],
        ),
        wait_for_time: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c set parked = 'time' where c.id = any ($1) and c.parked = 'team'",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        lock_teams: OwnStatement::by_index(
            "select p.team_id from unnest($2) t (id) join lockstep_internal.slack_team_pace p on p.schema = $1 and p.team_id = t.id and p.method = $3
                for no key update of p skip locked",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        mark_teams: OwnStatement::by_index(
            "update lockstep_internal.slack_team_pace p set has_parked = true from unnest($2) t (id)
              where p.schema = $1 and p.team_id = t.id and p.method = $3 and not p.has_parked",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        release: OwnStatement::by_index(
            &format!(
                "update lockstep_internal.slack_channel c set parked = null where c.id = any ($1) and c.parked is not null and not {IS_WAITED_FOR}"
            ),
            &[pg_sys::INT8ARRAYOID],
            &["id", "lane"],
        ),
        // They have a time of their own by now.
        postpone: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c set parked = 'time'
              where c.parked = 'team' and c.id = any (array(
                select o.id from unnest($2) t (id) join lockstep_internal.slack_channel o
                    on o.schema = $1 and o.team_id = t.id and o.team_due_at > (select clock_timestamp())
                 limit $3 for no key update of o skip locked))",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::INT4OID],
            &["id", "schema"],
        ),
        unmark_teams: OwnStatement::by_index(
            "update lockstep_internal.slack_team_pace p set has_parked = false from unnest($2) t (id)
              where p.schema = $1 and p.team_id = t.id and p.method = $3 and p.has_parked
                and not exists (select from lockstep_internal.slack_channel c
                                 where c.schema = p.schema and c.team_id = p.team_id and c.team_due_at is not null)",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID, pg_sys::TEXTOID],
            &["schema"],
        ),
    };
}

/// Whether something waits for channel `c`. Not `exists`: for that the planner may read all that waits, into a hash table.
const IS_WAITED_FOR: &str = "((select true from lockstep_internal.slack_delivery d
       where d.lane = c.id and d.status = 'waiting' order by d.lane, d.id limit 1) is not null)";

/// Up to so many channels that wait are read by each look. To read one costs less than to park it.
const MANY: usize = 100;

/// How many channels are parked at once, and how many of their deliveries: the next claim goes on.
const MOST_CHANNELS: usize = WINDOW as usize;
const MOST_DELIVERIES: i32 = 10_000;

/// What a look has found of parked channels, and what it leaves to be parked.
#[derive(Default)]
pub(super) struct Parked {
    /// Nothing waits for them any more.
    idle: Vec<i64>,
    /// Workspaces that may send, and have no parked channel that is due.
    idle_teams: BTreeSet<String>,
    /// Channels that wait for their own time, and for their workspace.
    early: Vec<i64>,
    crowded: Vec<i64>,
}

/// What is left to write of workspaces.
pub(super) struct Teams {
    /// Channels that were parked for each.
    parked: BTreeMap<String, Vec<i64>>,
    idle: BTreeSet<String>,
}

impl Parked {
    /// The parked channels that are due. The first part of them, if they are very many; of those that wait for their workspace
    /// about as many as are wanted.
    pub(super) fn due(schema: &str, pace: Pace, wanted: usize) -> Result<(Self, Vec<Due>)> {
        let mut parked = Self::default();
        let mut due = BTreeMap::new();
        STATEMENTS.with(|statements| {
            let mut take = |id: i64, team: String, row: &lockstep_server::Answer| {
                let is_waited_for = row.get(4).unwrap_or_default();
                match row.get(3).filter(|_| is_waited_for) {
                    Some(since) => {
                        due.insert(id, Due { id, team, since });
                    }
                    None => parked.idle.push(id),
                }
            };
            let arguments = [datum(schema), datum(WINDOW)];
            statements.due.rows(&arguments, |row| {
                if let (Some(id), Some(team)) = (row.get(1), row.get(2)) {
                    take(id, team, row);
                }
            })?;
            let arguments = [
                datum(schema),
                datum(WINDOW),
                datum(pace.interval()),
                datum(pace.ahead()),
                datum(i64::try_from(wanted).unwrap_or(i64::MAX)),
            ];
            statements.due_of_teams.rows(&arguments, |row| {
                match (row.get(1), row.get::<String>(2)) {
                    (Some(id), Some(team)) => take(id, team, row),
                    (None, Some(team)) => {
                        parked.idle_teams.insert(team);
                    }
                    _ => {}
                }
            })
        })?;
        Ok((parked, due.into_values().collect()))
    }

    /// Notes what else a look has found: channels that wait for their own time, and those that are due, in order, with how many
    /// messages their workspaces may send.
    pub(super) fn note(
        &mut self,
        early: Vec<i64>,
        due: &[Due],
        room: &BTreeMap<String, i64>,
        pace: Pace,
    ) {
        self.early = early;
        let mut left = room.clone();
        self.crowded = due
            .iter()
            .filter(|it| {
                let left = left.entry(it.team.clone()).or_default();
                *left -= 1;
                -*left * pace.interval() > SOON
            })
            .map(|it| it.id)
            .collect();
    }

    /// Parks what was noted, if that is much, and releases what is idle.
    pub(super) fn settle(self, schema: &str) -> Result<Teams> {
        if !self.idle.is_empty() {
            let channels = lock(&self.idle)?;
            STATEMENTS.with(|statements| statements.release.run(&[keys_argument(&channels)]))?;
        }
        let mut teams = Teams {
            parked: BTreeMap::new(),
            idle: self.idle_teams,
        };
        if !teams.idle.is_empty() {
            let idle: Vec<&str> = teams.idle.iter().map(String::as_str).collect();
            let arguments = [datum(schema), datum(idle), datum(WINDOW)];
            STATEMENTS.with(|statements| statements.postpone.run(&arguments))?;
        }
        if self.early.len() + self.crowded.len() > MANY {
            let most = self.early.len().min(MOST_CHANNELS);
            park(&self.early[..most], "time")?;
            // Those that have their turn last.
            let first = self.crowded.len().saturating_sub(MOST_CHANNELS);
            for (channel, team) in park(&self.crowded[first..], "team")? {
                teams.parked.entry(team).or_default().push(channel);
            }
        }
        Ok(teams)
    }
}

impl Teams {
    /// Marks the workspaces that channels were parked for, and those that no channel is parked for any more. Where somebody else
    /// has locked the workspace, the channels wait for their time alone: the next claim finds them again.
    pub(super) fn settle(mut self, schema: &str) -> Result<()> {
        let all = self.parked.keys().chain(&self.idle);
        let all: BTreeSet<&str> = all.map(String::as_str).collect();
        if all.is_empty() {
            return Ok(());
        }
        let locked = lock_teams(schema, all.into_iter().collect())?;
        let (marked, idle): (Vec<String>, Vec<String>) = locked
            .into_iter()
            .partition(|team| self.parked.remove(team).is_some());
        STATEMENTS.with(|statements| {
            let arguments = [datum(schema), datum(marked), datum(POST)];
            statements.mark_teams.run(&arguments)?;
            let arguments = [datum(schema), datum(idle), datum(POST)];
            statements.unmark_teams.run(&arguments)?;
            let others: Vec<i64> = self.parked.into_values().flatten().collect();
            if !others.is_empty() {
                statements.wait_for_time.run(&[keys_argument(&others)])?;
            }
            Ok(())
        })
    }
}

/// Returns those that were not parked like that before, with their workspaces.
fn park(channels: &[i64], until: &str) -> Result<Vec<(i64, String)>> {
    let mut parked = Vec::new();
    let channels = lock(channels)?;
    if channels.is_empty() {
        return Ok(parked);
    }
    STATEMENTS.with(|statements| {
        let arguments = [keys_argument(&channels), datum(until)];
        statements.park.rows(&arguments, |row| {
            parked.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
        })?;
        let arguments = [keys_argument(&channels), datum(MOST_DELIVERIES)];
        statements.park_deliveries.run(&arguments)
    })?;
    Ok(parked)
}

fn lock(channels: &[i64]) -> Result<Vec<i64>> {
    let mut locked = Vec::new();
    STATEMENTS.with(|statements| {
        let arguments = [keys_argument(channels)];
        statements
            .lock
            .rows(&arguments, |row| locked.extend(row.get::<i64>(1)))
    })?;
    Ok(locked)
}

/// Those that have a row: the first message of a workspace inserts it.
fn lock_teams(schema: &str, teams: Vec<&str>) -> Result<Vec<String>> {
    let mut locked = Vec::new();
    STATEMENTS.with(|statements| {
        let arguments = [datum(schema), datum(teams), datum(POST)];
        statements
            .lock_teams
            .rows(&arguments, |row| locked.extend(row.get::<String>(1)))
    })?;
    Ok(locked)
}
