//! Jobs that failed for good, and jobs that nobody wants any more.

use super::key::each_if_free;
use super::limit::Freed;
use crate::error::{JobError, OrRaise, Result, required};
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// How many dead jobs one statement retries.
const AT_ONCE: usize = 1_000;

struct Statements {
    is_dead: OwnStatement,
    dead: OwnStatement,
    retry_some: OwnStatement,
    is_known: OwnStatement,
    discard: OwnStatement,
    is_running: OwnStatement,
    cancel: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        is_dead: OwnStatement::by_index(
            "select coalesce(unique_key, '') from lockstep_internal.job where id = $1 and status = 'dead'",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        // One of each unique key.
        dead: OwnStatement::by_index(
            "select array(select min(d.id) from lockstep_internal.job d where d.status = 'dead' and ($1 = '' or d.worker = $1)
                           group by d.unique_worker, coalesce(d.unique_key, d.id::text) order by 1)",
            &[pg_sys::TEXTOID],
            &["died_at"],
        ),
        // A dead job whose unique key another job has taken stays dead: the other one does the same work.
        retry_some: OwnStatement::by_index(
            "update lockstep_internal.job j
                set status = 'waiting', queued_by = pg_current_xact_id(), failures = 0, losses = 0, died_at = null, run_at = clock_timestamp(), holds_key = j.unique_key is not null
              where j.id = any ($1) and j.status = 'dead'
                and not exists (select from lockstep_internal.job o
                                 where o.unique_worker = j.unique_worker and o.unique_key = j.unique_key
                                   and o.holds_key and o.status <> 'dead')",
            &[pg_sys::INT8ARRAYOID],
            &["id", "unique_worker"],
        ),
        is_known: OwnStatement::new(
            "select from lockstep.worker_status where worker = $1",
            &[pg_sys::TEXTOID],
        ),
        discard: OwnStatement::by_index(
            "delete from lockstep_internal.job where id = $1 and status in ('scheduled', 'waiting', 'blocked', 'dead')",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        is_running: OwnStatement::by_index(
            "select from lockstep_internal.job where id = $1 and status = 'running'",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        cancel: OwnStatement::by_index(
            "delete from lockstep_internal.job where id = $1 and status <> 'dead'
             returning case status when 'running' then status else 'waiting' end, worker, case status when 'running' then concurrency_key end,
                       exists (select from lockstep_internal.worker_limit l where l.name = worker)",
            &[pg_sys::INT8OID],
            &["id", "name"],
        ),
    };
}

/// Retries a dead job with all its retries.
#[pg_extern(sql = r#"
create function lockstep.retry_job(job bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.retry_job(bigint) is 'lets a dead job wait again, with all its retries';
revoke execute on function lockstep.retry_job(bigint) from public;
grant execute on function lockstep.retry_job(bigint) to lockstep_admin;
"#)]
fn retry_job(job: Option<i64>) {
    retry(required(job, "job")).or_raise();
}

fn retry(job: i64) -> Result<()> {
    let arguments = [datum(job)];
    if retry_some(&[job])? > 0 {
        wake(JOBS);
        return Ok(());
    }
    let mut key = None;
    STATEMENTS.with(|statements| {
        statements
            .is_dead
            .rows(&arguments, |row| key = row.get::<String>(1))
    })?;
    Err(match key {
        Some(key) => JobError::KeyTaken { job, key },
        None => JobError::NotDead { job },
    }
    .into())
}

/// Retries the dead jobs of one worker or of all.
#[pg_extern(sql = r#"
create function lockstep.retry_dead_jobs(worker text default null)
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.retry_dead_jobs(text) is
  'lets dead jobs of a worker, or of all, wait again; returns how many. One whose unique key another job has stays dead';
revoke execute on function lockstep.retry_dead_jobs(text) from public;
grant execute on function lockstep.retry_dead_jobs(text) to lockstep_admin;
"#)]
fn retry_dead_jobs(worker: Option<&str>) -> i64 {
    let retry = || -> Result<u64> {
        let mut jobs = 0;
        for some in dead(worker.unwrap_or_default())?.chunks(AT_ONCE) {
            jobs += retry_some(some)?;
        }
        if jobs > 0 {
            wake(JOBS);
        } else if let Some(worker) = worker {
            check_is_known(worker)?;
        }
        Ok(jobs)
    };
    retry().or_raise() as i64
}

fn dead(worker: &str) -> Result<Vec<i64>> {
    let mut dead = Vec::new();
    let arguments = [datum(worker)];
    STATEMENTS.with(|statements| {
        statements
            .dead
            .rows(&arguments, |row| dead = row.get(1).unwrap_or_default())
    })?;
    Ok(dead)
}

/// Retries these dead jobs, in order, but not those whose unique key another job has; returns how many.
fn retry_some(jobs: &[i64]) -> Result<u64> {
    STATEMENTS.with(|statements| each_if_free(jobs, &statements.retry_some))
}

/// An unknown name is most likely a typo.
fn check_is_known(worker: &str) -> Result<()> {
    match STATEMENTS.with(|statements| statements.is_known.run(&[datum(worker)]))? {
        0 => Err(JobError::NoSuchWorker {
            worker: worker.to_owned(),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Removes a job that is not running.
#[pg_extern(sql = r#"
create function lockstep.discard_job(job bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.discard_job(bigint) is 'removes a job that is dead or has not started';
revoke execute on function lockstep.discard_job(bigint) from public;
grant execute on function lockstep.discard_job(bigint) to lockstep_admin;
"#)]
fn discard_job(job: Option<i64>) {
    let job = required(job, "job");
    let run = || -> Result<()> {
        let arguments = [datum(job)];
        if STATEMENTS.with(|statements| statements.discard.run(&arguments))? > 0 {
            return Ok(());
        }
        let is_running = STATEMENTS.with(|statements| statements.is_running.run(&arguments))? > 0;
        Err(match is_running {
            true => JobError::Running { job },
            false => JobError::NotDiscardable { job },
        }
        .into())
    };
    run().or_raise();
}

/// Removes a job that waits, or takes a running one from its runner: what the runner reports about it is refused from then on.
#[pg_extern(sql = r#"
create function lockstep.cancel_job(job bigint)
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.cancel_job(bigint) is
  'removes a job that waits or runs; returns waiting or running. A runner that runs it cannot complete it any more: complete_job undoes the transaction that did the work';
revoke execute on function lockstep.cancel_job(bigint) from public;
grant execute on function lockstep.cancel_job(bigint) to lockstep_admin, lockstep_app;
"#)]
fn cancel_job(job: Option<i64>) -> String {
    let job = required(job, "job");
    let run = || -> Result<String> {
        let mut status = None;
        let mut freed = Freed::default();
        STATEMENTS.with(|statements| {
            statements.cancel.rows(&[datum(job)], |row| {
                status = row.get::<String>(1);
                freed.add(row.get(2), row.get(3), row.get(4));
            })
        })?;
        freed.note()?;
        status.ok_or_else(|| JobError::NotCancellable { job }.into())
    };
    run().or_raise()
}
