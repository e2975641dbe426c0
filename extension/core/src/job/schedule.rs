//! Recurring jobs. A schedule is a row with its next time. Whichever runner claims jobs once that has come locks the row, enqueues
//! the job and sets the next time, in one transaction: so each time is enqueued once, however many runners there are.

use super::check_worker;
use super::cron::Times;
use super::enqueue::{Deduplicate, NewJob};
use crate::error::{JobError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Answer, Jsonb, OwnStatement, attempt, datum, with_settings};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::ffi::CStr;
use std::panic::AssertUnwindSafe;

/// A name is part of a unique key.
const MOST_CHARACTERS: usize = 100;

struct Statements {
    set: OwnStatement,
    remove: OwnStatement,
    due: OwnStatement,
    advance: OwnStatement,
    postpone: OwnStatement,
    later: OwnStatement,
    correct: OwnStatement,
    stop: OwnStatement,
}

/// How long a schedule may wait for what somebody else has locked: the claim of other jobs waits for it.
const PATIENCE: &CStr = c"100ms";

kept! {
    static STATEMENTS: Statements = Statements {
        // A schedule that is set again as it was, by a migration for instance, does not skip the time that is due.
        set: OwnStatement::new(
            "insert into lockstep_internal.job_schedule as s (name, cron, time_zone, worker, args, priority, missed, next_at)
             values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8)
             on conflict (name) do update
                set cron = excluded.cron, time_zone = excluded.time_zone, worker = excluded.worker, args = excluded.args,
                    priority = excluded.priority, missed = excluded.missed,
                    next_at = case when (s.cron, s.time_zone) = (excluded.cron, excluded.time_zone) then least(s.next_at, excluded.next_at)
                              else excluded.next_at end",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT4OID,
                pg_sys::TEXTOID,
                pg_sys::TIMESTAMPTZOID,
            ],
        ),
        remove: OwnStatement::new(
            "delete from lockstep_internal.job_schedule where name = $1",
            &[pg_sys::TEXTOID],
        ),
        // What runners do within a minute is in time.
        due: OwnStatement::new(
            "select name, cron, time_zone, worker, args, priority, next_at, clock_timestamp(),
                    missed = 'skip' and next_at < clock_timestamp() - interval '1 minute'
               from lockstep_internal.job_schedule where next_at <= clock_timestamp() order by next_at, name for update skip locked",
            &[],
        ),
        advance: OwnStatement::new(
            "update lockstep_internal.job_schedule
                set next_at = $2, last_at = case when $3 then last_at else next_at end where name = $1",
            &[
                pg_sys::TEXTOID,
                pg_sys::TIMESTAMPTZOID,
                pg_sys::BOOLOID,
            ],
        ),
        postpone: OwnStatement::new(
            "update lockstep_internal.job_schedule set next_at = clock_timestamp() + interval '1 minute' where name = $1",
            &[pg_sys::TEXTOID],
        ),
        // The next claim enqueues what is due, and a schedule that could not enqueue waits for a minute.
        later: OwnStatement::new(
            "select name, cron, time_zone, next_at, clock_timestamp() from lockstep_internal.job_schedule
              where next_at > clock_timestamp() + interval '1 minute' and isfinite(next_at)",
            &[],
        ),
        correct: OwnStatement::new(
            "update lockstep_internal.job_schedule set next_at = $3 where name = $1 and next_at = $2",
            &[
                pg_sys::TEXTOID,
                pg_sys::TIMESTAMPTZOID,
                pg_sys::TIMESTAMPTZOID,
            ],
        ),
        stop: OwnStatement::new(
            "update lockstep_internal.job_schedule set next_at = 'infinity' where name = $1",
            &[pg_sys::TEXTOID],
        ),
    };
}

/// Enqueues a job again and again.
#[pg_extern(sql = r#"
create function lockstep.schedule_job(name text, cron text, worker text, args jsonb default '{}', time_zone text default 'UTC',
                                      missed text default 'run_once', priority integer default 0)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.schedule_job(text, text, text, jsonb, text, text, integer) is
  'enqueues a job at the times of a cron expression, once however many runners there are; replaces the schedule of that name. missed: run_once or skip the times that passed while no runner was there';
revoke execute on function lockstep.schedule_job(text, text, text, jsonb, text, text, integer) from public;
grant execute on function lockstep.schedule_job(text, text, text, jsonb, text, text, integer) to lockstep_admin, lockstep_app;
"#)]
fn schedule_job(
    name: Option<&str>,
    cron: Option<&str>,
    worker: Option<&str>,
    args: Option<Jsonb>,
    time_zone: Option<&str>,
    missed: Option<&str>,
    priority: Option<i32>,
) {
    let name = required(name, "name");
    let cron = required(cron, "cron");
    let worker = required(worker, "worker");
    let args = required(args, "args").0.to_string();
    let time_zone = required(time_zone, "time_zone");
    let missed = required(missed, "missed");
    let priority = required(priority, "priority");
    let schedule = || -> Result<()> {
        check_name(name)?;
        check_worker(worker)?;
        if !["run_once", "skip"].contains(&missed) {
            return Err(JobError::Missed {
                missed: missed.chars().take(50).collect(),
            }
            .into());
        }
        let times = Times::parse(cron, time_zone)?;
        let next_at = times.after(pgrx::datum::clock_timestamp())?;
        let arguments = [
            datum(name),
            datum(cron),
            datum(time_zone),
            datum(worker),
            datum(args),
            datum(priority),
            datum(missed),
            datum(next_at),
        ];
        STATEMENTS.with(|statements| statements.set.run(&arguments))?;
        Ok(())
    };
    schedule().or_raise();
}

fn check_name(name: &str) -> Result<()> {
    match name.chars().count() {
        1..=MOST_CHARACTERS => Ok(()),
        _ => Err(JobError::ScheduleName.into()),
    }
}

/// Removes a schedule.
#[pg_extern(sql = r#"
create function lockstep.unschedule_job(name text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.unschedule_job(text) is 'removes a schedule; what it has enqueued stays';
revoke execute on function lockstep.unschedule_job(text) from public;
grant execute on function lockstep.unschedule_job(text) to lockstep_admin, lockstep_app;
"#)]
fn unschedule_job(name: Option<&str>) {
    let name = required(name, "name");
    let run = || -> Result<()> {
        match STATEMENTS.with(|statements| statements.remove.run(&[datum(name)]))? {
            0 => Err(JobError::NoSuchSchedule {
                name: name.chars().take(50).collect(),
            }
            .into()),
            _ => Ok(()),
        }
    };
    run().or_raise();
}

/// Brings back schedules whose next time was computed while a clock was ahead.
pub(crate) fn correct_schedules() -> Result<()> {
    let mut later = Vec::new();
    STATEMENTS.with(|statements| {
        statements.later.rows(&[], |row| {
            let texts = row
                .get::<String>(1)
                .zip(row.get::<String>(2))
                .zip(row.get::<String>(3));
            later.extend(texts.zip(row.get(4)).zip(row.get(5)));
        })
    })?;
    for ((((name, cron), time_zone), stored), now) in later {
        let next = Times::parse(&cron, &time_zone).and_then(|times| times.after(now));
        if let Ok(next) = next
            && next < stored
        {
            let arguments = [datum(name), datum(stored), datum(next)];
            STATEMENTS.with(|statements| statements.correct.run(&arguments))?;
        }
    }
    Ok(())
}

struct Due {
    name: String,
    cron: String,
    time_zone: String,
    worker: String,
    args: JsonB,
    priority: i32,
    at: TimestampWithTimeZone,
    now: TimestampWithTimeZone,
    is_skipped: bool,
}

/// Enqueues the jobs of the schedules that are due. Of several missed times one is enqueued.
pub(super) fn enqueue_due() -> Result<()> {
    let mut all = Vec::new();
    STATEMENTS.with(|statements| statements.due.rows(&[], |row| all.extend(Due::read(row))))?;
    all.iter().try_for_each(Due::enqueue_or_postpone)
}

impl Due {
    fn read(row: &Answer) -> Option<Self> {
        Some(Self {
            name: row.get(1)?,
            cron: row.get(2)?,
            time_zone: row.get(3)?,
            worker: row.get(4)?,
            args: row.get(5)?,
            priority: row.get(6)?,
            at: row.get(7)?,
            now: row.get(8)?,
            is_skipped: row.get(9)?,
        })
    }

    /// Whatever the job runs into (the table of a worker's flags that is gone or locked, a job with its key that somebody holds) must
    /// not keep others from claiming jobs.
    fn enqueue_or_postpone(&self) -> Result<()> {
        let enqueue =
            || with_settings(&[(c"lock_timeout", PATIENCE)], || self.enqueue().or_raise());
        let Err(failure) = attempt(AssertUnwindSafe(enqueue)) else {
            return Ok(());
        };
        warning!(
            "schedule \"{}\" could not enqueue its job, and tries again in a minute: {}",
            self.name,
            failure.message
        );
        let arguments = [datum(self.name.as_str())];
        STATEMENTS.with(|statements| statements.postpone.run(&arguments))?;
        Ok(())
    }

    fn enqueue(&self) -> Result<()> {
        if !self.is_skipped {
            let job = NewJob {
                worker: &self.worker,
                args: &self.args.0,
                // If the last one has not started yet, it is enough.
                unique_key: Some(&format!("schedule {}", self.name)),
                deduplicate: Deduplicate::UntilExecuting,
                run_at: Some(self.at),
                priority: self.priority,
                concurrency_key: None,
            };
            job.enqueue()?;
        }
        let next = Times::parse(&self.cron, &self.time_zone).and_then(|it| it.after(self.now));
        match next {
            Ok(next) => {
                let arguments = [
                    datum(self.name.as_str()),
                    datum(next),
                    datum(self.is_skipped),
                ];
                STATEMENTS.with(|statements| statements.advance.run(&arguments))?;
            }
            // It was valid when it was set, and must not keep others from claiming jobs.
            Err(error) => {
                let arguments = [datum(self.name.as_str())];
                STATEMENTS.with(|statements| statements.stop.run(&arguments))?;
                warning!(
                    "schedule \"{}\" has no next time: {}",
                    self.name,
                    error.message()
                );
            }
        }
        Ok(())
    }
}
