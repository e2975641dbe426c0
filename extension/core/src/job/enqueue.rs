//! Enqueueing jobs.

use super::rename::Renames;
use super::{MOST_CHARACTERS, check_worker};
use crate::error::{JobError, OrRaise, Result, required};
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;

struct Statements {
    insert: OwnStatement,
    of_key: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        insert: OwnStatement::by_index(
            "insert into lockstep_internal.job (worker, unique_worker, unique_key, args, priority, run_at, status, retries, keeps_dead)
             select $1, case when $3 <> '' then $2 end, nullif($3, ''), $4::jsonb, $5, $6,
                    case when $6 > clock_timestamp() then 'scheduled' else 'waiting' end,
                    coalesce(w.retries, h.retries, 25), coalesce(w.keeps_dead, h.keeps_dead, true)
               from (select) one left join lockstep_internal.worker w on w.name = $1 left join lockstep_internal.host_worker h on h.name = $1
             on conflict (unique_worker, unique_key) where unique_key is not null and status <> 'dead' do nothing
             returning id, status = 'waiting'",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
                pg_sys::TIMESTAMPTZOID,
            ],
            &["name"],
        ),
        of_key: OwnStatement::by_index(
            "select id from lockstep_internal.job where unique_worker = $1 and unique_key = $2 and status <> 'dead'",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
            &["unique_worker"],
        ),
    };
}

/// The job to enqueue.
struct NewJob<'a> {
    /// Any of the worker's names.
    worker: &'a str,
    args: &'a Value,
    /// While a job with this key waits or runs, no other is enqueued.
    unique_key: Option<&'a str>,
    /// None means now.
    run_at: Option<TimestampWithTimeZone>,
    priority: i32,
}

impl NewJob<'_> {
    /// Enqueues the job or finds the one with the same key; returns its number.
    fn enqueue(&self) -> Result<i64> {
        check_worker(self.worker)?;
        let key = self.unique_key.unwrap_or_default();
        if self.unique_key == Some("") {
            return Err(JobError::UniqueKey.into());
        }
        if key.chars().count() > MOST_CHARACTERS {
            return Err(JobError::LongKey.into());
        }
        let names = Renames::read()?.names(self.worker)?;
        let arguments = [
            datum(names.current.as_str()),
            datum(names.first.as_str()),
            datum(key),
            datum(self.args.to_string()),
            datum(self.priority),
            datum(
                self.run_at
                    .unwrap_or_else(pgrx::datum::transaction_timestamp),
            ),
        ];
        loop {
            let mut job = None;
            STATEMENTS.with(|statements| {
                statements.insert.rows(&arguments, |row| {
                    job = row.get::<i64>(1).zip(row.get::<bool>(2));
                })
            })?;
            if let Some((job, is_waiting)) = job {
                if is_waiting {
                    wake(JOBS.named(&names.current));
                }
                return Ok(job);
            }
            let mut other = None;
            let arguments = [datum(names.first.as_str()), datum(key)];
            STATEMENTS.with(|statements| {
                statements
                    .of_key
                    .rows(&arguments, |row| other = row.get::<i64>(1))
            })?;
            // If that job has just finished, this one can be enqueued.
            if let Some(job) = other {
                return Ok(job);
            }
            pgrx::check_for_interrupts!();
        }
    }
}

/// Enqueues a job in the caller's transaction.
#[pg_extern(sql = r#"
create function lockstep.enqueue_job(worker text, args jsonb default '{}', unique_key text default null,
                                     run_at timestamptz default null, priority integer default 0)
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer) is
  'enqueues a job, which can be claimed once the transaction has committed; returns its number, or the number of the unfinished job with the same unique key';
revoke execute on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer) from public;
grant execute on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer) to lockstep_admin, lockstep_app;
"#)]
fn enqueue_job(
    worker: Option<&str>,
    args: Option<JsonB>,
    unique_key: Option<&str>,
    run_at: Option<TimestampWithTimeZone>,
    priority: Option<i32>,
) -> i64 {
    let job = NewJob {
        worker: required(worker, "worker"),
        args: &required(args, "args").0,
        unique_key,
        run_at,
        priority: required(priority, "priority"),
    };
    job.enqueue().or_raise()
}
