//! Job outcomes. A runner can only report those of jobs it still holds.

use super::key::take_again;
use super::limit::Freed;
use super::runner;
use crate::error::{JobError, OrRaise, Result, required};
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// The part of an error's text that is kept.
const MOST_CHARACTERS: usize = 10_000;

struct Statements {
    complete: OwnStatement,
    give_back: OwnStatement,
    give_back_others: OwnStatement,
    lock: OwnStatement,
    discard: OwnStatement,
    retry: OwnStatement,
    bury: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        complete: OwnStatement::by_index(
            "delete from lockstep_internal.job where id = any ($2) and runner = $1
             returning id, worker, concurrency_key,
                    (select exists (select from lockstep_internal.worker_limit)) and exists (select from lockstep_internal.worker_limit l where l.name = worker),
                    false",
            &[pg_sys::INT8OID, pg_sys::INT8ARRAYOID],
            &["id", "name"],
        ),
        give_back: OwnStatement::by_index(
            "update lockstep_internal.job set runner = null, status = 'waiting', queued_by = pg_current_xact_id() where id = any ($2) and runner = $1
             returning id, worker, concurrency_key, false, unique_key is not null and not holds_key",
            &[pg_sys::INT8OID, pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        give_back_others: OwnStatement::by_index(
            "update lockstep_internal.job set runner = null, status = 'waiting', queued_by = pg_current_xact_id()
              where runner = $1 and status = 'running' and id <> all ($2)
             returning id, worker, concurrency_key, unique_key is not null and not holds_key",
            &[pg_sys::INT8OID, pg_sys::INT8ARRAYOID],
            &["runner"],
        ),
        lock: OwnStatement::by_index(
            "select failures >= retries, keeps_dead,
                    worker, concurrency_key,
                    (select exists (select from lockstep_internal.worker_limit)) and exists (select from lockstep_internal.worker_limit l where l.name = worker)
               from lockstep_internal.job where id = $2 and runner = $1 for update",
            &[pg_sys::INT8OID, pg_sys::INT8OID],
            &["id", "name"],
        ),
        discard: OwnStatement::by_index(
            "delete from lockstep_internal.job where id = $1",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        // Sidekiq's intervals: from seconds to five days after 25 failures, with jitter, so that jobs that failed together are
        // not retried together.
        retry: OwnStatement::by_index(
            "update lockstep_internal.job
                set runner = null, status = 'scheduled', failures = failures + 1, last_error = $2,
                    run_at = clock_timestamp() + case when $3 >= interval '0' then least($3, interval '366 days') else make_interval(secs =>
                               pow(failures, 4) + 15 + floor(random() * 10) * (failures + 1)) end
              where id = $1",
            &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INTERVALOID],
            &["id"],
        ),
        bury: OwnStatement::by_index(
            "update lockstep_internal.job
                set runner = null, status = 'dead', failures = failures + 1, last_error = $2, died_at = clock_timestamp()
              where id = $1",
            &[pg_sys::INT8OID, pg_sys::TEXTOID],
            &["id"],
        ),
    };
}

/// Completes jobs.
#[pg_extern(sql = r#"
create function lockstep.complete_jobs(runner bigint, jobs bigint[])
returns bigint[] language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.complete_jobs(bigint, bigint[]) is
  'completes jobs and removes them; returns those it refused because the runner no longer holds them: others may run them again';
revoke execute on function lockstep.complete_jobs(bigint, bigint[]) from public;
grant execute on function lockstep.complete_jobs(bigint, bigint[]) to lockstep_app;
"#)]
fn complete_jobs(runner: Option<i64>, jobs: Option<Vec<Option<i64>>>) -> Vec<i64> {
    let runner = required(runner, "runner");
    let jobs: Vec<i64> = required(jobs, "jobs").into_iter().flatten().collect();
    complete(runner, &jobs).or_raise()
}

fn complete(runner: i64, jobs: &[i64]) -> Result<Vec<i64>> {
    of_runner(runner, jobs, |statements| &statements.complete)
}

/// Completes a job in the transaction that did it; if the job now belongs to another runner, that transaction is rolled back.
#[pg_extern(sql = r#"
create function lockstep.complete_job(runner bigint, job bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.complete_job(bigint, bigint) is
  'removes a job that is done; an error if it is no longer the runner''s, which undoes what the transaction did for it';
revoke execute on function lockstep.complete_job(bigint, bigint) from public;
grant execute on function lockstep.complete_job(bigint, bigint) to lockstep_app;
"#)]
fn complete_job(runner: Option<i64>, job: Option<i64>) {
    let runner = required(runner, "runner");
    let job = required(job, "job");
    let refused = complete(runner, &[job]).or_raise();
    if !refused.is_empty() {
        crate::error::Error::from(JobError::NotRunners { runner, job }).raise();
    }
}

/// Returns jobs that were not started; this does not count as a failure.
#[pg_extern(sql = r#"
create function lockstep.release_jobs(runner bigint, jobs bigint[])
returns bigint[] language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.release_jobs(bigint, bigint[]) is
  'returns jobs to the queue without counting a failure; returns those the runner no longer holds';
revoke execute on function lockstep.release_jobs(bigint, bigint[]) from public;
grant execute on function lockstep.release_jobs(bigint, bigint[]) to lockstep_app;
"#)]
fn release_jobs(runner: Option<i64>, jobs: Option<Vec<Option<i64>>>) -> Vec<i64> {
    let runner = required(runner, "runner");
    let jobs: Vec<i64> = required(jobs, "jobs").into_iter().flatten().collect();
    let refused = of_runner(runner, &jobs, |statements| &statements.give_back).or_raise();
    if refused.len() < jobs.len() {
        wake(JOBS);
    }
    refused
}

/// Returns jobs that were claimed for a runner without its knowledge, because the answer to the claim was lost with the
/// connection.
#[pg_extern(sql = r#"
create function lockstep.release_other_jobs(runner bigint, jobs bigint[])
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.release_other_jobs(bigint, bigint[]) is
  'gives back all jobs of a runner but those it names, as after a lost connection the answer to a claim may never have arrived; returns how many';
revoke execute on function lockstep.release_other_jobs(bigint, bigint[]) from public;
grant execute on function lockstep.release_other_jobs(bigint, bigint[]) to lockstep_app;
"#)]
fn release_other_jobs(runner: Option<i64>, jobs: Option<Vec<Option<i64>>>) -> i64 {
    let runner = required(runner, "runner");
    let jobs: Vec<i64> = required(jobs, "jobs").into_iter().flatten().collect();
    release_others(runner, &jobs).or_raise()
}

fn release_others(runner: i64, jobs: &[i64]) -> Result<i64> {
    if !runner::share(runner)? {
        return Err(JobError::RunnerLost { runner }.into());
    }
    let arguments = [datum(runner), keys_argument(jobs)];
    let mut released = 0;
    let mut freed = Freed::default();
    let mut keyed = Vec::new();
    STATEMENTS.with(|statements| {
        statements.give_back_others.rows(&arguments, |row| {
            released += 1;
            freed.add(row.get(2), row.get(3), None);
            keyed.extend(row.get::<i64>(1).filter(|_| row.get(4) == Some(true)));
        })
    })?;
    freed.note()?;
    take_again(&keyed)?;
    if released > 0 {
        wake(JOBS);
    }
    Ok(released)
}

/// Applies a statement to the jobs the runner still holds; returns the others.
fn of_runner(
    runner: i64,
    jobs: &[i64],
    statement: impl Fn(&Statements) -> &OwnStatement,
) -> Result<Vec<i64>> {
    if !runner::share(runner)? {
        return Ok(jobs.to_vec());
    }
    let mut sorted = jobs.to_vec();
    sorted.sort_unstable();
    let mut done = Vec::with_capacity(jobs.len());
    let mut freed = Freed::default();
    let mut keyed = Vec::new();
    let arguments = [datum(runner), keys_argument(&sorted)];
    STATEMENTS.with(|statements| {
        statement(statements).rows(&arguments, |row| {
            done.extend(row.get::<i64>(1));
            freed.add(row.get(2), row.get(3), row.get(4));
            keyed.extend(row.get::<i64>(1).filter(|_| row.get(5) == Some(true)));
        })
    })?;
    freed.note()?;
    take_again(&keyed)?;
    done.sort_unstable();
    let is_done = |job: &i64| done.binary_search(job).is_ok();
    Ok(jobs.iter().copied().filter(|job| !is_done(job)).collect())
}

/// Reports a failed job.
#[pg_extern(sql = r#"
create function lockstep.fail_job(runner bigint, job bigint, error text, retry_after interval default null)
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.fail_job(bigint, bigint, text, interval) is
  'says that a job failed and returns what becomes of it: scheduled (to be tried again, within a year), dead or discarded, by the rules of its worker';
revoke execute on function lockstep.fail_job(bigint, bigint, text, interval) from public;
grant execute on function lockstep.fail_job(bigint, bigint, text, interval) to lockstep_app;
"#)]
fn fail_job(
    runner: Option<i64>,
    job: Option<i64>,
    error: Option<&str>,
    retry_after: Option<Interval>,
) -> &'static str {
    let runner = required(runner, "runner");
    let job = required(job, "job");
    let error = required(error, "error");
    fail(runner, job, error, retry_after).or_raise()
}

fn fail(runner: i64, job: i64, error: &str, retry_after: Option<Interval>) -> Result<&'static str> {
    if let Some(after) = &retry_after
        && (after.months() < 0 || after.days() < 0 || after.micros() < 0)
    {
        return Err(JobError::RetryAfter.into());
    }
    let mut rules = None;
    let mut freed = Freed::default();
    if runner::share(runner)? {
        let arguments = [datum(runner), datum(job)];
        STATEMENTS.with(|statements| {
            statements.lock.rows(&arguments, |row| {
                rules = row.get::<bool>(1).zip(row.get::<bool>(2));
                freed.add(row.get(3), row.get(4), row.get(5));
            })
        })?;
    }
    freed.note()?;
    let error: String = error.chars().take(MOST_CHARACTERS).collect();
    STATEMENTS.with(|statements| match rules {
        None => Err(JobError::NotRunners { runner, job }.into()),
        Some((false, _)) => {
            // Negative: PostgreSQL computes the interval.
            let after = retry_after.unwrap_or_else(|| Interval::from_micros(-1));
            let arguments = [datum(job), datum(error), datum(after)];
            statements.retry.run(&arguments)?;
            Ok("scheduled")
        }
        Some((true, true)) => {
            statements.bury.run(&[datum(job), datum(error)])?;
            Ok("dead")
        }
        Some((true, false)) => {
            statements.discard.run(&[datum(job)])?;
            Ok("discarded")
        }
    })
}
