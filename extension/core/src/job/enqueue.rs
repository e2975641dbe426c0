//! Enqueueing jobs.

use super::rename::Renames;
use super::{MOST_CHARACTERS, check_worker};
use crate::error::{JobError, OrRaise, Result, check_finite, required};
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{Jsonb, OwnStatement, OwnTable, datum};
use pgrx::datum::transaction_timestamp;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;

struct Statements {
    insert: OwnStatement,
    lock_waiting: OwnStatement,
    adopt: OwnStatement,
    of_key: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        insert: OwnStatement::new(
            "insert into lockstep_internal.job (worker, unique_worker, unique_key, args, priority, run_at, status, retries, keeps_dead,
                                                holds_key, keeps_key, concurrency_key)
             values ($1, case when $3 <> '' then $2 end, nullif($3, ''), $4::jsonb, $5, $6,
                     case when $6 > clock_timestamp() then 'scheduled' else 'waiting' end, $9, $10, $3 <> '', $7, nullif($8, ''))
             on conflict (unique_worker, unique_key) where holds_key and status <> 'dead' do nothing
             returning id, status = 'waiting'",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
                pg_sys::TIMESTAMPTZOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
                pg_sys::BOOLOID,
            ],
        ),
        // The lock keeps the job from starting before this transaction has committed: otherwise it might run without seeing
        // what the transaction wrote. Several transactions can hold it.
        lock_waiting: OwnStatement::by_index(
            "select id, run_at > $3, status in ('waiting', 'blocked') from lockstep_internal.job
              where unique_worker = $1 and unique_key = $2 and holds_key and status <> 'dead' and status <> 'running' for key share",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TIMESTAMPTZOID],
            &["unique_worker"],
        ),
        // Other arguments make it another job, with all its retries.
        adopt: OwnStatement::by_index(
            "update lockstep_internal.job
                set run_at = least(run_at, $2), queued_by = pg_current_xact_id(),
                    status = case when status = 'scheduled' and $2 <= clock_timestamp() then 'waiting' else status end,
                    args = case when $3 then $4::jsonb else args end, priority = case when $3 then $5 else priority end,
                    failures = case when $3 then 0 else failures end, losses = case when $3 then 0 else losses end
              where id = $1 returning status in ('waiting', 'blocked')",
            &[
                pg_sys::INT8OID,
                pg_sys::TIMESTAMPTZOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
            ],
            &["id"],
        ),
        of_key: OwnStatement::by_index(
            "select id from lockstep_internal.job where unique_worker = $1 and unique_key = $2 and holds_key and status <> 'dead'",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
            &["unique_worker"],
        ),
    };
}

/// How often the jobs of a worker are retried, and whether a dead one is kept.
struct Rule {
    retries: i32,
    keeps_dead: bool,
}

impl Rule {
    /// As a DBA set it, otherwise as GitLab does, otherwise Sidekiq's defaults.
    fn of(worker: &str) -> Self {
        const RULES: [OwnTable; 2] = [
            OwnTable::new(c"worker", c"worker_pkey"),
            OwnTable::new(c"host_worker", c"host_worker_pkey"),
        ];
        let found = RULES.iter().find_map(|rules| {
            rules.row(worker, |row| {
                Some(Self {
                    retries: row.get(c"retries")?,
                    keeps_dead: row.get(c"keeps_dead")?,
                })
            })
        });
        found.unwrap_or(Self {
            retries: 25,
            keeps_dead: true,
        })
    }
}

/// What a unique key prevents. The first two names are those of GitLab's workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deduplicate {
    /// A second job while the first one waits.
    UntilExecuting,
    /// A second job while the first one waits or runs.
    UntilExecuted,
    /// A second job while the first one waits, which gets the arguments of the second.
    Replace,
}

impl Deduplicate {
    fn named(name: &str) -> Result<Self> {
        match name {
            "until_executing" => Ok(Self::UntilExecuting),
            "until_executed" => Ok(Self::UntilExecuted),
            "replace" => Ok(Self::Replace),
            _ => Err(JobError::Deduplicate {
                deduplicate: name.chars().take(50).collect(),
            }
            .into()),
        }
    }
}

/// The job to enqueue.
pub(super) struct NewJob<'a> {
    /// Any of the worker's names.
    pub(super) worker: &'a str,
    pub(super) args: &'a Value,
    pub(super) unique_key: Option<&'a str>,
    pub(super) deduplicate: Deduplicate,
    /// None means now.
    pub(super) run_at: Option<TimestampWithTimeZone>,
    pub(super) priority: i32,
    /// Jobs of the worker with the same key share its limits for keys.
    pub(super) concurrency_key: Option<&'a str>,
}

impl NewJob<'_> {
    /// Enqueues the job or finds the one with the same key; returns its number.
    pub(super) fn enqueue(&self) -> Result<i64> {
        check_worker(self.worker)?;
        let key = self.unique_key.unwrap_or_default();
        if self.unique_key == Some("") {
            return Err(JobError::UniqueKey.into());
        }
        if key.chars().count() > MOST_CHARACTERS {
            return Err(JobError::LongKey.into());
        }
        let concurrency_key = self.concurrency_key.unwrap_or_default();
        if self.concurrency_key == Some("") || concurrency_key.chars().count() > MOST_CHARACTERS {
            return Err(JobError::ConcurrencyKey.into());
        }
        let names = Renames::read().names(self.worker)?;
        let rule = Rule::of(&names.current);
        let args = self.args.to_string();
        let run_at = self.run_at.unwrap_or_else(transaction_timestamp);
        let arguments = [
            datum(names.current.as_str()),
            datum(names.first.as_str()),
            datum(key),
            datum(args.as_str()),
            datum(self.priority),
            datum(run_at),
            datum(self.deduplicate == Deduplicate::UntilExecuted),
            datum(concurrency_key),
            datum(rule.retries),
            datum(rule.keeps_dead),
        ];
        loop {
            let mut job = None;
            STATEMENTS.with(|statements| {
                statements.insert.rows(&arguments, |row| {
                    job = row.get::<i64>(1).zip(row.get::<bool>(2));
                })
            })?;
            let job = match job {
                Some(job) => Some(job),
                None => self.waiting(&names.first, key, run_at, &args)?,
            };
            if let Some((job, is_waiting)) = job {
                if is_waiting {
                    wake(JOBS.named(&names.current));
                }
                return Ok(job);
            }
            let mut running = None;
            let arguments = [datum(names.first.as_str()), datum(key)];
            STATEMENTS.with(|statements| {
                statements
                    .of_key
                    .rows(&arguments, |row| running = row.get::<i64>(1))
            })?;
            // If that job has just given up its key, this one can be enqueued.
            if let Some(job) = running {
                return Ok(job);
            }
            pgrx::check_for_interrupts!();
        }
    }

    /// The job that waits with the same key, once it starts no later than this one; and whether it is due. One that is blocked
    /// may be free by the time that this transaction lets go of it.
    fn waiting(
        &self,
        first_name: &str,
        key: &str,
        run_at: TimestampWithTimeZone,
        args: &str,
    ) -> Result<Option<(i64, bool)>> {
        let mut found = None;
        let arguments = [datum(first_name), datum(key), datum(run_at)];
        STATEMENTS.with(|statements| {
            statements.lock_waiting.rows(&arguments, |row| {
                let is_due = row.get::<bool>(3).unwrap_or_default();
                found = row
                    .get::<i64>(1)
                    .zip(row.get::<bool>(2))
                    .map(|(job, is_late)| (job, is_late, is_due));
            })
        })?;
        let Some((job, is_late, mut is_due)) = found else {
            return Ok(None);
        };
        let replaces = self.deduplicate == Deduplicate::Replace;
        if is_late || replaces {
            let arguments = [
                datum(job),
                datum(run_at),
                datum(replaces),
                datum(args),
                datum(self.priority),
            ];
            STATEMENTS.with(|statements| {
                statements
                    .adopt
                    .rows(&arguments, |row| is_due = row.get(1).unwrap_or_default())
            })?;
        }
        Ok(Some((job, is_due)))
    }
}

/// Enqueues a job in the caller's transaction.
// No pinned search path, which takes longer than reading all that is asked: each statement sets its own.
#[pg_extern(sql = r#"
create function lockstep.enqueue_job(worker text, args jsonb default '{}', unique_key text default null,
                                     run_at timestamptz default null, priority integer default 0, deduplicate text default 'until_executing',
                                     concurrency_key text default null)
returns bigint language c
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer, text, text) is
  'enqueues a job, which can be claimed once the transaction has committed; returns its number, or the number of the job that waits with the same unique key';
revoke execute on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer, text, text) from public;
grant execute on function lockstep.enqueue_job(text, jsonb, text, timestamptz, integer, text, text) to lockstep_admin, lockstep_app;
"#)]
fn enqueue_job(
    worker: Option<&str>,
    args: Option<Jsonb>,
    unique_key: Option<&str>,
    run_at: Option<TimestampWithTimeZone>,
    priority: Option<i32>,
    deduplicate: Option<&str>,
    concurrency_key: Option<&str>,
) -> i64 {
    let deduplicate = Deduplicate::named(required(deduplicate, "deduplicate")).or_raise();
    // A job that is late before it exists would overtake the others, and look as if nobody ran it.
    let run_at = run_at.map(|run_at| {
        check_finite(&run_at, "run_at").or_raise();
        run_at.max(transaction_timestamp())
    });
    let job = NewJob {
        worker: required(worker, "worker"),
        args: &required(args, "args").0,
        unique_key,
        deduplicate,
        run_at,
        priority: required(priority, "priority"),
        concurrency_key,
    };
    job.enqueue().or_raise()
}
