//! Claims jobs in batches.

use super::{MOST_AT_ONCE, limit, runner, schedule};
use crate::error::{JobError, OrRaise, Result, required};
use crate::home;
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking;
use lockstep_server::{OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::HashMap;

struct Statements {
    is_due: OwnStatement,
    due: OwnStatement,
    claim: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // A lease is renewed once a third of it is over.
        is_due: OwnStatement::by_index(
            "select r.leased_until < clock_timestamp() + r.lease_for * 2 / 3
                    or exists (select from lockstep_internal.job_runner o where o.leased_until < clock_timestamp())
                    or exists (select from lockstep_internal.job j where j.status = 'scheduled' and j.run_at <= (select clock_timestamp()))
                    or exists (select from unnest($2) w (name) join lockstep_internal.job j on j.worker = w.name and j.status = 'waiting'),
                    r.role::text, r.workers,
                    exists (select from lockstep_internal.job_schedule s where s.next_at <= (select clock_timestamp())),
                    array(select l.name from lockstep_internal.worker_limit l where l.name = any ($2))
               from lockstep_internal.job_runner r where r.id = $1",
            &[pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
            &["id", "run_at", "worker", "next_at", "name"],
        ),
        // Scheduled jobs are kept apart: otherwise each claim would have to skip those with a high priority.
        due: OwnStatement::by_index(
            "with due as materialized (
               select id from lockstep_internal.job where status = 'scheduled' and run_at <= (select clock_timestamp())
                order by run_at limit 1000 for update skip locked)
             update lockstep_internal.job j set status = 'waiting' from due where j.id = due.id",
            &[],
            &["run_at", "id"],
        ),
        // The index returns each worker's next jobs in order. Jobs that others are claiming are skipped, so a few more are read
        // than wanted.
        claim: OwnStatement::by_index(
            "with next as materialized (
               select n.* from unnest($2, $4) w (name, room)
                 cross join lateral (
                   select j.id, j.priority, j.run_at from lockstep_internal.job j
                    where j.worker = w.name and j.status = 'waiting'
                    order by j.priority, j.run_at, j.id limit least(4 * $3, w.room)) n
                order by n.priority, n.run_at, n.id),
             picked as materialized (
               select j.id from next join lockstep_internal.job j on j.id = next.id
                where j.status = 'waiting'
                order by next.priority, next.run_at, next.id limit $3 for update of j skip locked),
             claimed as (
               update lockstep_internal.job j set status = 'running', runner = $1, started_at = clock_timestamp(), holds_key = j.holds_key and j.keeps_key
                 from picked where j.id = picked.id
               returning j.id, j.worker, j.args, j.failures, j.losses, j.priority, j.run_at, j.enqueued_at)
             select id, worker, args, failures + losses + 1, enqueued_at from claimed order by priority, run_at, id",
            &[
                pg_sys::INT8OID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4OID,
                pg_sys::INT4ARRAYOID,
            ],
            &["worker", "id"],
        ),
    };
}

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
    let due = look_for_due(runner, workers)?;
    if !due.is_any {
        return Ok(claimed);
    }
    runner::renew(runner)?;
    if home::is_of_another()? {
        return Ok(Vec::new());
    }
    runner::take_over_from_lost()?;
    if due.has_schedule {
        schedule::enqueue_due()?;
    }
    STATEMENTS.with(|statements| statements.due.run(&[]))?;
    let rooms = match due.limited.is_empty() {
        true => HashMap::new(),
        false => limit::rooms(&due.limited)?,
    };
    let room = |name: &String| rooms.get(name).copied().unwrap_or(i32::MAX);
    let rooms: Vec<i32> = workers.iter().map(room).collect();
    let arguments = [
        datum(runner),
        datum(workers.to_vec()),
        datum(most),
        datum(rooms),
    ];
    STATEMENTS.with(|statements| {
        statements.claim.rows(&arguments, |row| {
            if let (Some(job), Some(worker), Some(args), Some(attempt), Some(enqueued_at)) =
                (row.get(1), row.get(2), row.get(3), row.get(4), row.get(5))
            {
                claimed.push((job, worker, args, attempt, enqueued_at));
            }
        })
    })?;
    Ok(claimed)
}

/// What a claim has to do.
#[derive(Default)]
struct Due {
    /// Whether there is anything to write; otherwise waiting sessions can poll often.
    is_any: bool,
    has_schedule: bool,
    /// Those of the workers that have a limit.
    limited: Vec<String>,
}

fn look_for_due(runner: i64, workers: &[String]) -> Result<Due> {
    let mut due = Due::default();
    let mut found = None;
    let arguments = [datum(runner), datum(workers.to_vec())];
    STATEMENTS.with(|statements| {
        statements.is_due.rows(&arguments, |row| {
            let only = row.get::<String>(3);
            found = row.get::<bool>(1).zip(row.get::<String>(2)).zip(only);
            due.has_schedule = row.get(4).unwrap_or_default();
            due.limited = row.get(5).unwrap_or_default();
        })
    })?;
    let ((is_any, role), only) = found.ok_or(JobError::RunnerLost { runner })?;
    runner::check_role(runner, &role)?;
    if let Some(other) = workers.iter().find(|it| !it.starts_with(&only)) {
        return Err(JobError::WorkerDenied {
            worker: other.chars().take(50).collect(),
            only,
        }
        .into());
    }
    due.is_any = is_any || due.has_schedule;
    Ok(due)
}
