//! What a claim of jobs may take.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeMap, HashSet};

struct Statements {
    lock: OwnStatement,
    look: OwnStatement,
    free: OwnStatement,
    over: OwnStatement,
    block: OwnStatement,
    count: OwnStatement,
}

/// How many more jobs of key `k` the limits `l` let start; null without a limit for keys. The sums keep the planner from the index
/// of times: a worker may have many keys.
macro_rules! room_of_key {
    () => {
        "greatest(case when coalesce(l.key_concurrency, l.key_rate) is not null then 0 end, least(
           l.key_concurrency - (select count(*) from lockstep_internal.job r
                                 where r.worker = k.worker and r.concurrency_key = k.concurrency_key and r.status = 'running'),
           l.key_rate - (select coalesce(sum(u.jobs), 0)::bigint from lockstep_internal.worker_limit_use u
                          where u.worker = k.worker and u.concurrency_key = k.concurrency_key
                            and u.until + interval '0' > (select clock_timestamp()) and u.until + interval '0' <= (select clock_timestamp()) + l.key_period)))"
    };
}

/// The same for each of the jobs `k`, counted once for a key.
macro_rules! room_of_keys {
    () => {
        concat!(
            "max(case when k.rank = 1 and k.concurrency_key is not null then (select ",
            room_of_key!(),
            " from lockstep_internal.worker_limit l where l.name = k.worker) end) over (partition by k.worker, k.concurrency_key)"
        )
    };
}

/// The latest time that a use of the limits `l` can have. A later one was written while the clock was ahead.
macro_rules! latest {
    () => {
        "(select clock_timestamp()) + greatest(coalesce(l.period, interval '0'), coalesce(l.key_period, interval '0'))"
    };
}

kept! {
    static STATEMENTS: Statements = Statements {
        lock: OwnStatement::by_index(
            "select name from lockstep_internal.worker_limit where name = any ($1) order by name for update skip locked",
            &[pg_sys::TEXTARRAYOID],
            &["name"],
        ),
        // What runs is counted by runner, because that index is there anyway.
        look: OwnStatement::by_index(
            concat!(
                "with running as materialized (
                   select j.worker, count(*) as jobs from lockstep_internal.job_runner r
                     join lockstep_internal.job j on j.runner = r.id and j.status = 'running'
                    where r.id > 0 and j.worker = any ($1)
                      and exists (select from lockstep_internal.worker_limit c where c.name = any ($1) and c.concurrency is not null)
                    group by j.worker)
                 select l.name,
                        greatest(case when coalesce(l.concurrency, l.rate) is not null then 0 end, least(
                          l.concurrency - coalesce(n.jobs, 0),
                          l.rate - (select coalesce(sum(u.jobs), 0)::bigint from lockstep_internal.worker_limit_use u
                                     where u.worker = l.name and u.concurrency_key is null
                                       and u.until + interval '0' > (select clock_timestamp()) and u.until + interval '0' <= (select clock_timestamp()) + l.period)))::integer,
                        l.key_concurrency is not null or l.key_rate is not null, l.rate is not null or l.key_rate is not null,
                        exists (select from lockstep_internal.worker_limit_use e where e.worker = l.name and e.until <= (select clock_timestamp()))
                        or exists (select from lockstep_internal.worker_limit_use e where e.worker = l.name and e.until > ", latest!(), ")
                   from lockstep_internal.worker_limit l left join running n on n.worker = l.name where l.name = any ($1)"
            ),
            &[pg_sys::TEXTARRAYOID],
            &["id", "runner", "name", "worker"],
        ),
        // A blocked job that somebody else is just changing is left to the next claim, and so is the use that has ended.
        free: OwnStatement::by_index(
            concat!(
                "with limits as materialized (
                   select l.*, (select clock_timestamp()) as now, ", latest!(), " as latest
                     from lockstep_internal.worker_limit l where l.name = any ($1)),
                 ended as materialized (
                   select distinct e.worker, e.concurrency_key, l.now, l.latest from limits l cross join lateral (
                     select u.worker, u.concurrency_key from lockstep_internal.worker_limit_use u where u.worker = l.name and u.until <= l.now
                     union all
                     select u.worker, u.concurrency_key from lockstep_internal.worker_limit_use u where u.worker = l.name and u.until > l.latest) e
                    where e.concurrency_key is not null),
                 key as materialized (
                   select k.*, (select ", room_of_key!(), " from lockstep_internal.worker_limit l where l.name = k.worker) as room from ended k),
                 picked as materialized (
                   select k.*, b.id from key k cross join lateral (
                     select j.id from lockstep_internal.job j
                      where j.worker = k.worker and j.concurrency_key = k.concurrency_key and j.status = 'blocked'
                      order by j.priority, j.run_at, j.id limit k.room for no key update skip locked) b),
                 freed as (
                   update lockstep_internal.job j set status = 'waiting', queued_by = pg_current_xact_id() from picked p where j.id = p.id),
                 done as materialized (
                   select c.worker, c.concurrency_key, c.now, c.latest from (
                     select k.worker, k.concurrency_key, k.now, k.latest, (
                              select count(*) from (select from lockstep_internal.job b
                                                     where b.worker = k.worker and b.concurrency_key = k.concurrency_key and b.status = 'blocked'
                                                     limit k.room) b) as jobs
                       from key k
                     union all
                     select p.worker, p.concurrency_key, p.now, p.latest, -1 from picked p) c
                    group by c.worker, c.concurrency_key, c.now, c.latest having sum(c.jobs) = 0),
                 of_worker as (
                   delete from lockstep_internal.worker_limit_use u using limits l
                    where u.worker = l.name and u.concurrency_key is null and (u.until <= l.now or u.until > l.latest))
                 delete from lockstep_internal.worker_limit_use u using done d
                  where u.worker = d.worker and u.concurrency_key = d.concurrency_key and (u.until <= d.now or u.until > d.latest)"
            ),
            &[pg_sys::TEXTARRAYOID],
            &["id", "name", "worker"],
        ),
        over: OwnStatement::by_index(
            concat!(
                "select a.id from (
                   select r.*, count(*) filter (where r.is_let) over (partition by r.worker order by r.place) as number from (
                     select k.id, k.worker, k.place, k.concurrency_key is null or k.rank <= ", room_of_keys!(), " as is_let from (
                       select j.id, j.worker, j.concurrency_key, n.place,
                              row_number() over (partition by j.worker, j.concurrency_key order by n.place) as rank
                         from unnest($1) with ordinality n (id, place) join lockstep_internal.job j on j.id = n.id
                        where j.worker = any ($2)) k) r) a
                   left join unnest($2, $3) w (name, room) on w.name = a.worker
                  where not a.is_let or a.number > w.room"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTARRAYOID, pg_sys::INT4ARRAYOID],
            &["id", "name", "worker"],
        ),
        // Only where the key has no room at all: then something ends that makes it wait again.
        block: OwnStatement::by_index(
            concat!(
                "with taken as materialized (
                   select r.id from (
                     select k.id, ", room_of_keys!(), " as room from (
                       select j.id, j.worker, j.concurrency_key, row_number() over (partition by j.worker, j.concurrency_key) as rank
                         from unnest($1) n (id) join lockstep_internal.job j on j.id = n.id
                        where j.status = 'waiting' and j.concurrency_key is not null) k) r
                    where r.room = 0),
                 picked as materialized (
                   select j.id from taken t join lockstep_internal.job j on j.id = t.id where j.status = 'waiting' for no key update of j skip locked)
                 update lockstep_internal.job j set status = 'blocked' from picked p where j.id = p.id and j.status = 'waiting'"
            ),
            &[pg_sys::INT8ARRAYOID],
            &["id", "name", "worker"],
        ),
        count: OwnStatement::by_index(
            "insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, until)
             select j.worker, null, count(*), clock_timestamp() + l.period
               from lockstep_internal.job j join lockstep_internal.worker_limit l on l.name = j.worker
              where j.id = any ($1) and l.rate is not null group by j.worker, l.period
             union all
             select j.worker, j.concurrency_key, count(*), clock_timestamp() + l.key_period
               from lockstep_internal.job j join lockstep_internal.worker_limit l on l.name = j.worker
              where j.id = any ($1) and j.concurrency_key is not null and l.key_rate is not null group by j.worker, j.concurrency_key, l.key_period",
            &[pg_sys::INT8ARRAYOID],
            &["id", "name"],
        ),
    };
}

/// The limits of a claim's workers.
#[derive(Default)]
pub(in crate::job) struct Limits {
    of_worker: BTreeMap<String, Limit>,
}

#[derive(Clone, Copy)]
struct Limit {
    /// How many jobs may start, if the whole worker is limited.
    room: Option<i32>,
    is_by_key: bool,
    has_rate: bool,
    /// A use of a rate or key has ended.
    has_ended: bool,
}

impl Limit {
    /// Another claim has the limits.
    const LEFT_TO_OTHERS: Self = Self {
        room: Some(0),
        is_by_key: false,
        has_rate: false,
        has_ended: false,
    };
}

impl Limits {
    /// As they are now; another claim may change that.
    pub(in crate::job) fn look(limited: &[String]) -> Result<Self> {
        let mut limits = Self::default();
        if limited.is_empty() {
            return Ok(limits);
        }
        STATEMENTS.with(|statements| {
            let arguments = [datum(limited.to_vec())];
            statements
                .look
                .rows_seeing(View::Newest, &arguments, |row| {
                    let limit = Limit {
                        room: row.get(2),
                        is_by_key: row.get(3).unwrap_or_default(),
                        has_rate: row.get(4).unwrap_or_default(),
                        has_ended: row.get(5).unwrap_or_default(),
                    };
                    limits
                        .of_worker
                        .extend(row.get(1).map(|name| (name, limit)));
                })
        })?;
        Ok(limits)
    }

    /// Keeps them until the transaction ends, and lets blocked jobs wait again that have room now. Those that others have locked
    /// have no room for this claim.
    pub(in crate::job) fn lock(limited: &[String]) -> Result<Self> {
        let mut locked: Vec<String> = Vec::new();
        STATEMENTS.with(|statements| {
            let arguments = [datum(limited.to_vec())];
            statements
                .lock
                .rows_seeing(View::Newest, &arguments, |row| {
                    locked.extend(row.get::<String>(1))
                })
        })?;
        // A new look: what the last holder of the lock has claimed counts.
        let mut limits = Self::look(&locked)?;
        let ended = limits.names(|limit| limit.has_ended);
        if !ended.is_empty() {
            let arguments = [Some(datum(ended))];
            STATEMENTS.with(|statements| statements.free.run_newest_with_nulls(&arguments))?;
        }
        for name in limited {
            limits
                .of_worker
                .entry(name.clone())
                .or_insert(Limit::LEFT_TO_OTHERS);
        }
        Ok(limits)
    }

    pub(in crate::job) fn has_ended(&self) -> bool {
        self.of_worker.values().any(|limit| limit.has_ended)
    }

    /// How many jobs of each of these workers to look for. Of a worker with a limit for keys, many may have none.
    pub(in crate::job) fn rooms(&self, workers: &[String]) -> Vec<i32> {
        let room = |name: &String| match self.of_worker.get(name) {
            Some(limit) if limit.is_by_key && limit.room != Some(0) => None,
            limit => limit?.room,
        };
        let rooms = workers.iter().map(|name| room(name).unwrap_or(i32::MAX));
        rooms.collect()
    }

    fn names(&self, is: impl Fn(&Limit) -> bool) -> Vec<String> {
        let named = self.of_worker.iter().filter(|(_, limit)| is(limit));
        named.map(|(name, _)| name.clone()).collect()
    }

    /// Those of these jobs that may not start now, as the others come first.
    pub(in crate::job) fn over(&self, jobs: &[i64]) -> Result<HashSet<i64>> {
        let mut over = HashSet::new();
        let by_key = self.of_worker.iter().filter(|(_, limit)| limit.is_by_key);
        let by_key = by_key.map(|(name, limit)| (name.as_str(), limit.room.unwrap_or(i32::MAX)));
        let (names, rooms): (Vec<&str>, Vec<i32>) = by_key.unzip();
        if !names.is_empty() && !jobs.is_empty() {
            let arguments = [keys_argument(jobs), datum(names), datum(rooms)];
            STATEMENTS.with(|statements| {
                statements
                    .over
                    .rows_seeing(View::Newest, &arguments, |row| {
                        over.extend(row.get::<i64>(1))
                    })
            })?;
        }
        Ok(over)
    }

    /// Blocks those of these jobs whose key has no room; returns how many.
    pub(in crate::job) fn block(&self, over: &HashSet<i64>) -> Result<u64> {
        if over.is_empty() {
            return Ok(0);
        }
        let mut over: Vec<i64> = over.iter().copied().collect();
        over.sort_unstable();
        let arguments = [Some(keys_argument(&over))];
        STATEMENTS.with(|statements| statements.block.run_newest_with_nulls(&arguments))
    }

    /// Counts jobs that have been claimed.
    pub(in crate::job) fn count<'a>(
        &mut self,
        claimed: impl Iterator<Item = (i64, &'a String)>,
    ) -> Result<()> {
        let mut jobs = Vec::new();
        for (job, worker) in claimed {
            if let Some(limit) = self.of_worker.get_mut(worker) {
                limit.room = limit.room.map(|room| (room - 1).max(0));
                if limit.has_rate {
                    jobs.push(job);
                }
            }
        }
        if !jobs.is_empty() {
            let arguments = [keys_argument(&jobs)];
            STATEMENTS.with(|statements| statements.count.run(&arguments))?;
        }
        Ok(())
    }
}
