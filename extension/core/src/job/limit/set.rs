//! Setting the limits of a worker.

use crate::error::{JobError, OrRaise, Result, required};
use crate::home::JOBS;
use crate::job::check_worker;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum, nullable};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;

const MOST: i32 = 10_000;

const SECOND: i128 = 1_000_000;
const MONTH: i128 = 31 * 86_400 * SECOND;

struct Statements {
    set: OwnStatement,
    set_for_keys: OwnStatement,
    remove: OwnStatement,
    forget: OwnStatement,
    forget_of_keys: OwnStatement,
    note_blocked: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        set: OwnStatement::new(
            "insert into lockstep_internal.worker_limit (name, concurrency, rate, period) values ($1, $2, $3, $4)
             on conflict (name) do update set (concurrency, rate, period) = (excluded.concurrency, excluded.rate, excluded.period)",
            &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::INT4OID, pg_sys::INTERVALOID],
        ),
        set_for_keys: OwnStatement::new(
            "insert into lockstep_internal.worker_limit (name, key_concurrency, key_rate, key_period) values ($1, $2, $3, $4)
             on conflict (name) do update set (key_concurrency, key_rate, key_period) =
                (excluded.key_concurrency, excluded.key_rate, excluded.key_period)",
            &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::INT4OID, pg_sys::INTERVALOID],
        ),
        // Only once no job is blocked for them: a claim lets these wait again, and removes the row then.
        remove: OwnStatement::new(
            "delete from lockstep_internal.worker_limit l
              where l.name = $1 and coalesce(l.concurrency, l.rate, l.key_concurrency, l.key_rate) is null
                and not exists (select from lockstep_internal.worker_limit_use u where u.worker = l.name)",
            &[pg_sys::TEXTOID],
        ),
        // Where no rate is left, nothing is counted.
        forget: OwnStatement::by_index(
            "delete from lockstep_internal.worker_limit_use u
              where u.worker = $1 and u.concurrency_key is null and not exists (
                select from lockstep_internal.worker_limit l where l.name = $1 and l.rate is not null)",
            &[pg_sys::TEXTOID],
            &["worker", "name"],
        ),
        // What has ended matters to blocked jobs alone, whose keys are noted next.
        forget_of_keys: OwnStatement::by_index(
            "delete from lockstep_internal.worker_limit_use u
              where u.worker = $1 and u.concurrency_key is not null and (u.started_at = '-infinity' or not exists (
                select from lockstep_internal.worker_limit l where l.name = $1 and l.key_rate is not null))",
            &[pg_sys::TEXTOID],
            &["worker", "name"],
        ),
        note_blocked: OwnStatement::by_index(
            "insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, started_at)
             select distinct j.worker, j.concurrency_key, 0, '-infinity'::timestamptz from lockstep_internal.job j
              where j.worker = $1 and j.concurrency_key is not null and j.status = 'blocked'",
            &[pg_sys::TEXTOID],
            &["worker"],
        ),
    };
}

/// Limits how many jobs of a worker run at once, and how many start within a period.
#[pg_extern(sql = r#"
create function lockstep.limit_worker(name text, concurrency integer default null, rate integer default null, period interval default null,
                                      by text default 'worker')
returns void language c set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.limit_worker(text, integer, integer, interval, text) is
  'limits how many jobs of a worker run at once, and how many start within a period, over all runners; by => ''key'' sets the limit of each concurrency key. Null means no limit. Running jobs are not stopped';
revoke execute on function lockstep.limit_worker(text, integer, integer, interval, text) from public;
grant execute on function lockstep.limit_worker(text, integer, integer, interval, text) to lockstep_admin, lockstep_app;
"#)]
fn limit_worker(
    name: Option<&str>,
    concurrency: Option<i32>,
    rate: Option<i32>,
    period: Option<Interval>,
    by: Option<&str>,
) {
    let name = required(name, "name");
    let by = required(by, "by");
    set(name, concurrency, rate, period, by).or_raise();
}

fn set(
    name: &str,
    concurrency: Option<i32>,
    rate: Option<i32>,
    period: Option<Interval>,
    by: &str,
) -> Result<()> {
    check_worker(name)?;
    let is_for_keys = match by {
        "worker" => false,
        "key" => true,
        _ => {
            return Err(JobError::LimitBy {
                by: by.chars().take(50).collect(),
            }
            .into());
        }
    };
    if let Some(concurrency) = concurrency.filter(|it| !(1..=MOST).contains(it)) {
        return Err(JobError::Concurrency { concurrency }.into());
    }
    if let Some(rate) = rate.filter(|it| !(1..=MOST).contains(it)) {
        return Err(JobError::Rate { rate }.into());
    }
    let is_period = |it: &Interval| it.months() == 0 && (SECOND..=MONTH).contains(&it.as_micros());
    match &period {
        None if rate.is_none() => {}
        Some(period) if rate.is_some() && is_period(period) => {}
        _ => return Err(JobError::Period.into()),
    }
    let arguments = [
        Some(datum(name)),
        nullable(concurrency),
        nullable(rate),
        nullable(period),
    ];
    let name_alone = [datum(name)];
    STATEMENTS
        .with(|statements| {
            // Waits for claims that have the limits locked, so that what these block is seen below.
            match is_for_keys {
                true => statements.set_for_keys.run_with_nulls(&arguments)?,
                false => statements.set.run_with_nulls(&arguments)?,
            };
            match is_for_keys {
                true => {
                    statements.forget_of_keys.run(&name_alone)?;
                    // Also those that a claim has blocked since the transaction's snapshot was taken. They are left to claims:
                    // there may be very many, and somebody may hold one of them.
                    statements
                        .note_blocked
                        .run_newest_with_nulls(&name_alone.map(Some))?;
                }
                false => {
                    statements.forget.run(&name_alone)?;
                }
            }
            statements.remove.run(&name_alone)?;
            Ok(())
        })
        .inspect(|()| wake(JOBS.named(name)))
}
