//! Claims jobs in batches.

use super::limit::{Limits, MOST_CHANGED};
use super::waiting::Next;
use super::{MOST_AT_ONCE, check_worker, runner, schedule};
use crate::error::{JobError, OrRaise, Result, required};
use crate::home;
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::mem;

struct Statements {
    standing: OwnStatement,
    due: OwnStatement,
    claim: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // A lease is renewed once a third of it is over.
        standing: OwnStatement::by_index(
            "select r.leased_until < clock_timestamp() + r.lease_for * 2 / 3,
                    exists (select from lockstep_internal.job_runner o where o.leased_until < clock_timestamp()
                               or o.leased_until > clock_timestamp() + o.lease_for + interval '5 minutes')
                    or exists (select from lockstep_internal.job j where j.status = 'scheduled' and j.run_at <= (select clock_timestamp())),
                    r.role::text, r.workers,
                    exists (select from lockstep_internal.job_schedule s where s.next_at <= (select clock_timestamp())),
                    array(select l.name from lockstep_internal.worker_limit l where l.name = any ($2))
               from lockstep_internal.job_runner r where r.id = $1",
            &[pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
            &["id", "run_at", "next_at", "name"],
        ),
        // Scheduled jobs are kept apart: otherwise each claim would have to skip those with a high priority.
        due: OwnStatement::by_index(
            "with due as materialized (
               select id from lockstep_internal.job where status = 'scheduled' and run_at <= (select clock_timestamp())
                order by run_at limit 1000 for update skip locked)
             update lockstep_internal.job j set status = 'waiting', queued_by = pg_current_xact_id() from due where j.id = due.id",
            &[],
            &["run_at", "id"],
        ),
        claim: OwnStatement::by_index(
            "with picked as materialized (
               select j.id, n.place from unnest($2) with ordinality n (id, place) join lockstep_internal.job j on j.id = n.id
                where j.status = 'waiting' order by n.place limit $3 for update of j skip locked),
             claimed as (
               update lockstep_internal.job j set status = 'running', runner = $1, started_at = clock_timestamp(), holds_key = j.holds_key and j.keeps_key
                 from picked where j.id = picked.id
               returning j.id, j.worker, j.args, j.failures + j.losses + 1 as attempt, j.enqueued_at, picked.place)
             select id, worker, args, attempt, enqueued_at from claimed order by place",
            &[pg_sys::INT8OID, pg_sys::INT8ARRAYOID, pg_sys::INT4OID],
            &["id"],
        ),
    };
}

/// How many times more jobs are tried than wanted, because others may be claiming some of them, and how many times more again if
/// these are not enough.
const TRIES: i32 = 4;
const MORE_TRIES: i32 = 8;

/// How often a claim tries those that come next in a limited worker or key because somebody holds the first.
const MOST_ROUNDS: i32 = 100;

type Claimed = (i64, String, JsonB, i32, TimestampWithTimeZone);

/// Claims the next jobs of these workers for a runner.
#[pg_extern(sql = r#"
create function lockstep.claim_jobs(runner bigint, workers text[], most integer default 1)
returns table(job bigint, worker text, args jsonb, attempt integer, enqueued_at timestamptz)
language c rows 100 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.claim_jobs(bigint, text[], integer) is
  'claims the next jobs of some workers for a runner, lowest priority number first, then longest waiting; takes over what lost runners left. A session that listens to lockstep_job and gets fewer than it asks for is notified of more, until it claims again';
revoke execute on function lockstep.claim_jobs(bigint, text[], integer) from public;
grant execute on function lockstep.claim_jobs(bigint, text[], integer) to lockstep_app;
"#)]
fn claim_jobs(
    runner: Option<i64>,
    workers: Option<Vec<Option<String>>>,
    most: Option<i32>,
) -> TableIterator<
    'static,
    (
        name!(job, i64),
        name!(worker, String),
        name!(args, JsonB),
        name!(attempt, i32),
        name!(enqueued_at, TimestampWithTimeZone),
    ),
> {
    let runner = required(runner, "runner");
    let workers = required(workers, "workers").into_iter().flatten().collect();
    let most = required(most, "most");
    TableIterator::new(claim(runner, workers, most).or_raise())
}

fn claim(runner: i64, mut workers: Vec<String>, most: i32) -> Result<Vec<Claimed>> {
    if !(1..=MOST_AT_ONCE).contains(&most) {
        return Err(JobError::Most { most }.into());
    }
    workers.iter().try_for_each(|worker| check_worker(worker))?;
    // A duplicate name would make its jobs be read twice.
    workers.sort_unstable();
    workers.dedup();
    let mut claimed = look(runner, &workers, most)?;
    let missing = most - claimed.len() as i32;
    if missing == 0 {
        // A session that already waits keeps waiting while it looks; otherwise a job that arrives just then would wake nobody.
        waking::wait_no_more(JOBS);
    } else if waking::wait(JOBS.named_any(&workers))? {
        // Jobs that arrived before other sessions could see that somebody waits.
        claimed.extend(look(runner, &workers, missing)?);
    }
    Ok(claimed)
}

fn look(runner: i64, workers: &[String], most: i32) -> Result<Vec<Claimed>> {
    let mut claimed = Vec::new();
    let standing = Standing::of(runner, workers)?;
    let mut limits = Limits::look(&standing.limited)?;
    let mut times = TRIES;
    let mut rooms = limits.rooms(workers, times);
    let mut next = Next::look(workers, &rooms, most.saturating_mul(times))?;
    // Then nothing is written, so that waiting sessions can poll often.
    let has_others = standing.has_others || standing.has_schedule;
    if next.jobs.is_empty() && !standing.is_renewed && !has_others && !limits.has_ended() {
        return Ok(claimed);
    }
    match standing.is_renewed {
        true => runner::renew(runner)?,
        false => runner::keep(runner)?,
    }
    if home::is_of_another()? {
        return Ok(claimed);
    }
    if has_others {
        runner::take_over_from_lost()?;
        if standing.has_schedule {
            schedule::enqueue_due()?;
        }
        STATEMENTS.with(|statements| statements.due.run(&[]))?;
    }
    if !standing.limited.is_empty() {
        limits = Limits::lock(&standing.limited)?;
        rooms = limits.rooms(workers, times);
    }
    next.share()?;
    if has_others || !standing.limited.is_empty() {
        next = Next::look(workers, &rooms, most.saturating_mul(times))?;
    }
    let mut blocked = 0;
    let mut rounds = 0;
    loop {
        let mut left = mem::take(&mut next.jobs);
        loop {
            let over = limits.over(&left)?;
            let (later, now): (Vec<_>, Vec<_>) =
                left.into_iter().partition(|job| over.contains(job));
            let before = claimed.len();
            claim_some(runner, &now, most - before as i32, &mut claimed)?;
            let new = claimed[before..].iter();
            limits.count(new.map(|(job, worker, ..)| (*job, worker)))?;
            left = later;
            // A job that somebody holds leaves its room to the others.
            let is_done = claimed.len() - before == now.len() || claimed.len() as i32 == most;
            rounds += 1;
            if is_done || left.is_empty() || rounds >= MOST_ROUNDS {
                break;
            }
        }
        let newly_blocked = limits.block(&left, MOST_CHANGED - blocked)?;
        blocked += newly_blocked;
        if claimed.len() as i32 == most {
            break;
        }
        if blocked >= MOST_CHANGED {
            // Whoever claims next goes on.
            waking::wake_everybody(JOBS.named_any(&standing.limited));
            break;
        }
        times = times.saturating_mul(MORE_TRIES);
        rooms = limits.rooms(workers, times);
        let tries = most.saturating_mul(times);
        next = match next.look_further(workers, &rooms, tries)? {
            Some(further) => further,
            // Others may wait behind those that are blocked now.
            None if newly_blocked > 0 => Next::look(workers, &rooms, tries)?,
            None => break,
        };
    }
    Ok(claimed)
}

/// Claims those that nobody else is claiming.
fn claim_some(runner: i64, jobs: &[i64], most: i32, claimed: &mut Vec<Claimed>) -> Result<()> {
    if jobs.is_empty() {
        return Ok(());
    }
    let arguments = [datum(runner), keys_argument(jobs), datum(most)];
    STATEMENTS.with(|statements| {
        statements.claim.rows(&arguments, |row| {
            if let (Some(job), Some(worker), Some(args), Some(attempt), Some(enqueued_at)) =
                (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
            {
                claimed.push((job, worker, args, attempt, enqueued_at));
            }
        })
    })?;
    Ok(())
}

/// What a claim has to do besides.
struct Standing {
    /// The lease is renewed.
    is_renewed: bool,
    /// There are runners that are lost, or whose leases end too late, or scheduled ones whose time has come.
    has_others: bool,
    /// A recurring job is due.
    has_schedule: bool,
    /// The workers that have a limit.
    limited: Vec<String>,
}

impl Standing {
    /// The runner must be the caller's, and may run these workers.
    fn of(runner: i64, workers: &[String]) -> Result<Self> {
        let mut found = None;
        let mut more = (false, Vec::new());
        let arguments = [datum(runner), datum(workers.to_vec())];
        STATEMENTS.with(|statements| {
            statements.standing.rows(&arguments, |row| {
                let is = row.get::<bool>(1).zip(row.get::<bool>(2));
                found = is.zip(row.get::<String>(3)).zip(row.get::<String>(4));
                more = (
                    row.get(5).unwrap_or_default(),
                    row.get(6).unwrap_or_default(),
                );
            })
        })?;
        let (((is_renewed, has_others), role), only) =
            found.ok_or(JobError::RunnerLost { runner })?;
        runner::check_role(runner, &role)?;
        if let Some(other) = workers.iter().find(|it| !it.starts_with(&only)) {
            return Err(JobError::WorkerDenied {
                worker: other.chars().take(50).collect(),
                only,
            }
            .into());
        }
        let (has_schedule, limited) = more;
        Ok(Self {
            is_renewed,
            has_others,
            has_schedule,
            limited,
        })
    }
}
