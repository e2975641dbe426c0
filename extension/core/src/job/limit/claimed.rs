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
    remove_empty: OwnStatement,
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
                            and u.started_at + interval '0' > (select clock_timestamp()) - l.key_period
                            and u.started_at + interval '0' <= (select clock_timestamp()))))"
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

/// Whether a use of the limits `l` counts no more. One in the future was written while the clock was ahead.
macro_rules! has_ended {
    ($is_key:literal, $period:literal) => {
        concat!(
            "(exists (select from lockstep_internal.worker_limit_use e where e.worker = l.name and e.concurrency_key is ",
            $is_key,
            " and e.started_at <= (select clock_timestamp()) - coalesce(",
            $period,
            ", interval '0'))
              or exists (select from lockstep_internal.worker_limit_use e where e.worker = l.name and e.concurrency_key is ",
            $is_key,
            " and e.started_at > (select clock_timestamp())))"
        )
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
                                       and u.started_at + interval '0' > (select clock_timestamp()) - l.period
                                       and u.started_at + interval '0' <= (select clock_timestamp()))))::integer,
                        l.key_concurrency is not null or l.key_rate is not null, l.rate is not null or l.key_rate is not null,
                        coalesce(l.concurrency, l.rate, l.key_concurrency, l.key_rate) is null
                        or ", has_ended!("null", "l.period"), " or ", has_ended!("not null", "l.key_period"), "
                   from lockstep_internal.worker_limit l left join running n on n.worker = l.name where l.name = any ($1)"
            ),
            &[pg_sys::TEXTARRAYOID],
            &["id", "runner", "name", "worker"],
        ),
        // A blocked job that somebody else is just changing is left to the next claim, and so is what is too much for one
        // transaction, with the use that has ended.
        free: OwnStatement::by_index(
            concat!(
                "with limits as materialized (
                   select l.*, n.now, n.now - coalesce(l.period, interval '0') as ended, n.now - coalesce(l.key_period, interval '0') as key_ended
                     from lockstep_internal.worker_limit l cross join (select clock_timestamp() as now offset 0) n where l.name = any ($1)),
                 ended as materialized (
                   select distinct e.worker, e.concurrency_key, l.now, l.key_ended from limits l cross join lateral (
                     (select u.worker, u.concurrency_key from lockstep_internal.worker_limit_use u
                       where u.worker = l.name and u.concurrency_key is not null and u.started_at <= l.key_ended limit $2)
                     union all
                     (select u.worker, u.concurrency_key from lockstep_internal.worker_limit_use u
                       where u.worker = l.name and u.concurrency_key is not null and u.started_at > l.now limit $2)) e),
                 key as materialized (
                   select k.*, (select ", room_of_key!(), " from lockstep_internal.worker_limit l where l.name = k.worker) as room from ended k),
                 picked as materialized (
                   select k.*, b.id from key k cross join lateral (
                     select j.id from lockstep_internal.job j
                      where j.worker = k.worker and j.concurrency_key = k.concurrency_key and j.status = 'blocked'
                      order by j.priority, j.run_at, j.id limit k.room for no key update skip locked) b
                    limit $2),
                 freed as (
                   update lockstep_internal.job j set status = 'waiting', queued_by = pg_current_xact_id() from picked p where j.id = p.id),
                 done as materialized (
                   select c.worker, c.concurrency_key, c.now, c.key_ended from (
                     select k.worker, k.concurrency_key, k.now, k.key_ended, (
                              select count(*) from (select from lockstep_internal.job b
                                                     where b.worker = k.worker and b.concurrency_key = k.concurrency_key and b.status = 'blocked'
                                                     limit least(k.room, $2 + 1)) b) as jobs
                       from key k
                     union all
                     select p.worker, p.concurrency_key, p.now, p.key_ended, -1 from picked p) c
                    group by c.worker, c.concurrency_key, c.now, c.key_ended having sum(c.jobs) = 0),
                 of_worker as (
                   delete from lockstep_internal.worker_limit_use u using limits l
                    where u.worker = l.name and u.concurrency_key is null and (u.started_at <= l.ended or u.started_at > l.now))
                 delete from lockstep_internal.worker_limit_use u using done d
                  where u.worker = d.worker and u.concurrency_key = d.concurrency_key and (u.started_at <= d.key_ended or u.started_at > d.now)"
            ),
            &[pg_sys::TEXTARRAYOID, pg_sys::INT8OID],
            &["id", "name", "worker"],
        ),
        // Limits that have been removed stay until no job is blocked for them.
        remove_empty: OwnStatement::by_index(
            "delete from lockstep_internal.worker_limit l
              where l.name = any ($1) and coalesce(l.concurrency, l.rate, l.key_concurrency, l.key_rate) is null
                and not exists (select from lockstep_internal.worker_limit_use u where u.worker = l.name)",
            &[pg_sys::TEXTARRAYOID],
            &["name", "worker"],
        ),
        over: OwnStatement::by_index(
            concat!(
                "select a.id from (
                   select r.*, count(*) filter (where r.is_let) over (partition by r.worker order by r.place) as number from (
                     select k.id, k.worker, k.place, coalesce(k.rank <= ", room_of_keys!(), ", true) as is_let from (
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
                   select j.id from taken t join lockstep_internal.job j on j.id = t.id where j.status = 'waiting' 
                    limit $2 for no key update of j skip locked)
                 update lockstep_internal.job j set status = 'blocked' from picked p where j.id = p.id and j.status = 'waiting'"
            ),
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID],
            &["id", "name", "worker"],
        ),
        count: OwnStatement::by_index(
            "insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, started_at)
             select j.worker, null, count(*), clock_timestamp()
               from lockstep_internal.job j join lockstep_internal.worker_limit l on l.name = j.worker
              where j.id = any ($1) and l.rate is not null group by j.worker
             union all
             select j.worker, j.concurrency_key, count(*), clock_timestamp()
               from lockstep_internal.job j join lockstep_internal.worker_limit l on l.name = j.worker
              where j.id = any ($1) and j.concurrency_key is not null and l.key_rate is not null group by j.worker, j.concurrency_key",
            &[pg_sys::INT8ARRAYOID],
            &["id", "name"],
        ),
    };
}

/// How many jobs a claim blocks, or lets wait again, at most: the next one goes on.
pub(in crate::job) const MOST_CHANGED: i64 = 1_000;

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
            let arguments = [Some(datum(ended)), Some(datum(MOST_CHANGED))];
            STATEMENTS.with(|statements| {
                statements.free.run_newest_with_nulls(&arguments)?;
                statements
                    .remove_empty
                    .run_newest_with_nulls(&arguments[..1])
            })?;
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

    /// How many jobs of each of these workers to look for: some times more than there is room for, because others may be
    /// claiming some of them. Of a worker with a limit for keys, many may have no room.
    pub(in crate::job) fn rooms(&self, workers: &[String], times: i32) -> Vec<i32> {
        let room = |name: &String| match self.of_worker.get(name) {
            Some(limit) if limit.is_by_key && limit.room != Some(0) => None,
            limit => limit?.room.map(|room| room.saturating_mul(times)),
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
        let limited = self.of_worker.iter();
        let limited = limited.map(|(name, limit)| (name.as_str(), limit.room.unwrap_or(i32::MAX)));
        let (names, rooms): (Vec<&str>, Vec<i32>) = limited.unzip();
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

    /// Blocks those of these jobs whose key has no room, up to so many; returns how many.
    pub(in crate::job) fn block(&self, over: &[i64], most: i64) -> Result<i64> {
        let is_by_key = self.of_worker.values().any(|limit| limit.is_by_key);
        if over.is_empty() || !is_by_key {
            return Ok(0);
        }
        let mut over = over.to_vec();
        over.sort_unstable();
        let arguments = [Some(keys_argument(&over)), Some(datum(most))];
        let blocked =
            STATEMENTS.with(|statements| statements.block.run_newest_with_nulls(&arguments))?;
        Ok(blocked as i64)
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
