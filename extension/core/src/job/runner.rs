//! Runners, and how others know that they are alive: by a lease, which a claim renews once a third of it is over, and a heartbeat
//! does while it is busy. When the lease ends, the next claim takes over its jobs.
//!
//! Three modes of one row lock keep this safe. Heartbeats write the runner's row; claims and reporting outcomes share it; taking
//! over needs it exclusively and skips rows in use. So no job is taken from a runner that is just completing it, and none is
//! claimed by a runner that is just being declared lost.

use super::MOST_CHARACTERS;
use super::key::take_again;
use super::limit::Freed;
use crate::error::{JobError, OrRaise, Result, required};
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, current_user, datum, has_rights_of_name};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;

/// A job that was running on this many lost runners is considered the cause, and becomes dead.
const MOST_LOSSES: i32 = 20;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

struct Statements {
    start: OwnStatement,
    renew: OwnStatement,
    share: OwnStatement,
    lock: OwnStatement,
    shorten: OwnStatement,
    lapsed: OwnStatement,
    take_over: OwnStatement,
    give_back: OwnStatement,
    remove: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        start: OwnStatement::new(
            // A superuser has the rights of every role, and no limit.
            "insert into lockstep_internal.job_runner (name, role, lease_for, leased_until, workers)
             select $1, pg_get_userbyid($3), $2, clock_timestamp() + $2, coalesce((
               select l.workers from lockstep_internal.runner_limit l join pg_roles r on r.rolname = l.role
                where pg_has_role($3, r.oid, 'usage') and not (select u.rolsuper from pg_roles u where u.oid = $3)
                order by l.role limit 1), '')
             returning id",
            &[pg_sys::TEXTOID, pg_sys::INTERVALOID, pg_sys::OIDOID],
        ),
        renew: OwnStatement::by_index(
            "update lockstep_internal.job_runner set leased_until = clock_timestamp() + lease_for where id = $1 returning role::text",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        share: OwnStatement::by_index(
            "select role::text from lockstep_internal.job_runner where id = $1 for key share",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        lock: OwnStatement::by_index(
            "select role::text from lockstep_internal.job_runner where id = $1 for update",
            &[pg_sys::INT8OID],
            &["id"],
        ),
        // A lease that was written while the clock was ahead ends as if it were renewed now.
        shorten: OwnStatement::new(
            "update lockstep_internal.job_runner r set leased_until = clock_timestamp() + r.lease_for
              where r.id = any (array(
                select o.id from lockstep_internal.job_runner o where o.leased_until > clock_timestamp() + o.lease_for + interval '5 minutes'
                 order by o.id for no key update skip locked))",
            &[],
        ),
        lapsed: OwnStatement::new(
            "select id, name from lockstep_internal.job_runner where leased_until < clock_timestamp() order by id for update skip locked",
            &[],
        ),
        take_over: OwnStatement::by_index(
            "update lockstep_internal.job
                set runner = null, queued_by = pg_current_xact_id(), losses = losses + 1, last_error = 'the lease of its runner ' || $2 || ' ended',
                    status = case when losses + 1 >= $3 then 'dead' else 'waiting' end,
                    died_at = case when losses + 1 >= $3 then clock_timestamp() end
              where runner = $1 and status = 'running'
             returning id, worker, concurrency_key, unique_key is not null and not holds_key and status = 'waiting'",
            &[pg_sys::INT8OID, pg_sys::TEXTOID, pg_sys::INT4OID],
            &["runner"],
        ),
        give_back: OwnStatement::by_index(
            "update lockstep_internal.job set runner = null, status = 'waiting', queued_by = pg_current_xact_id() where runner = $1 and status = 'running'
             returning id, worker, concurrency_key, unique_key is not null and not holds_key",
            &[pg_sys::INT8OID],
            &["runner"],
        ),
        remove: OwnStatement::by_index(
            "delete from lockstep_internal.job_runner where id = $1",
            &[pg_sys::INT8OID],
            &["id"],
        ),
    };
}

/// Renews the lease; an error if it has ended and others have the jobs.
pub(super) fn renew(runner: i64) -> Result<()> {
    match reach(runner, |statements| &statements.renew)? {
        false => Err(JobError::RunnerLost { runner }.into()),
        true => Ok(()),
    }
}

/// Keeps the runner's jobs until the transaction ends; false if it has lost them.
pub(super) fn share(runner: i64) -> Result<bool> {
    reach(runner, |statements| &statements.share)
}

/// The same for a lease that lasts: writing the row for each claim would leave a version of it for each, as long as an old snapshot
/// sees them.
pub(super) fn keep(runner: i64) -> Result<()> {
    match share(runner)? {
        false => Err(JobError::RunnerLost { runner }.into()),
        true => Ok(()),
    }
}

/// Whether the runner exists: the statement returned its role.
fn reach(runner: i64, statement: impl Fn(&Statements) -> &OwnStatement) -> Result<bool> {
    let mut role: Option<String> = None;
    STATEMENTS
        .with(|statements| statement(statements).rows(&[datum(runner)], |row| role = row.get(1)))?;
    role.map_or(Ok(false), |role| check_role(runner, &role).map(|()| true))
}

/// A runner belongs to the role that started it: no other role completes its jobs or renews its lease.
pub(super) fn check_role(runner: i64, role: &str) -> Result<()> {
    match has_rights_of_name(role) {
        true => Ok(()),
        false => Err(JobError::RunnerDenied {
            runner,
            role: role.to_owned(),
        }
        .into()),
    }
}

/// Releases the jobs of runners whose lease has ended.
pub(super) fn take_over_from_lost() -> Result<()> {
    let mut lost: Vec<(i64, String)> = Vec::new();
    STATEMENTS.with(|statements| {
        statements.shorten.run(&[])?;
        statements.lapsed.rows(&[], |row| {
            lost.extend(row.get(1).zip(row.get(2)));
        })
    })?;
    for (runner, name) in lost {
        let arguments = [datum(runner), datum(name), datum(MOST_LOSSES)];
        give_back(|statements| &statements.take_over, &arguments)?;
        STATEMENTS.with(|statements| statements.remove.run(&[datum(runner)]))?;
    }
    Ok(())
}

/// Starts a runner. Returns the number that the other functions need.
#[pg_extern(sql = r#"
create function lockstep.start_runner(name text, lease_for interval default '30 seconds')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.start_runner(text, interval) is
  'registers a runner of jobs; returns its number. If it is not heard of for the time of its lease, others take over its jobs';
revoke execute on function lockstep.start_runner(text, interval) from public;
grant execute on function lockstep.start_runner(text, interval) to lockstep_app;
"#)]
fn start_runner(name: Option<&str>, lease_for: Option<Interval>) -> i64 {
    let name = required(name, "name");
    let lease_for = required(lease_for, "lease_for");
    start(name, lease_for).or_raise()
}

fn start(name: &str, lease_for: Interval) -> Result<i64> {
    let is_within = lease_for.months() == 0
        && lease_for.days() == 0
        && (SECOND..=DAY).contains(&lease_for.micros());
    if !is_within {
        return Err(JobError::Lease.into());
    }
    if name.chars().count() > MOST_CHARACTERS {
        return Err(JobError::RunnerName.into());
    }
    let mut runner = 0;
    let arguments = [datum(name), datum(lease_for), datum(current_user())];
    STATEMENTS.with(|statements| {
        statements.start.rows(&arguments, |row| {
            runner = row.get(1).unwrap_or_default();
        })
    })?;
    Ok(runner)
}

/// Renews a runner's lease.
#[pg_extern(sql = r#"
create function lockstep.runner_heartbeat(runner bigint)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.runner_heartbeat(bigint) is
  'renews the lease of a runner on all its jobs; an error if it has ended and others have them';
revoke execute on function lockstep.runner_heartbeat(bigint) from public;
grant execute on function lockstep.runner_heartbeat(bigint) to lockstep_app;
"#)]
fn runner_heartbeat(runner: Option<i64>) {
    renew(required(runner, "runner")).or_raise();
}

/// Stops a runner; its remaining jobs become available to others.
#[pg_extern(sql = r#"
create function lockstep.stop_runner(runner bigint)
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.stop_runner(bigint) is
  'ends a runner and gives back the jobs it has not done; returns how many. Nothing happens if its lease has ended already';
revoke execute on function lockstep.stop_runner(bigint) from public;
grant execute on function lockstep.stop_runner(bigint) to lockstep_app;
"#)]
fn stop_runner(runner: Option<i64>) -> i64 {
    stop(required(runner, "runner")).or_raise()
}

fn stop(runner: i64) -> Result<i64> {
    let arguments = [datum(runner)];
    // Waits for outcomes that are being reported.
    reach(runner, |statements| &statements.lock)?;
    let jobs = give_back(|statements| &statements.give_back, &arguments)?;
    STATEMENTS.with(|statements| statements.remove.run(&arguments))?;
    if jobs > 0 {
        wake(JOBS);
    }
    Ok(jobs)
}

/// Takes jobs from a runner; returns how many.
fn give_back(
    statement: impl Fn(&Statements) -> &OwnStatement,
    arguments: &[pg_sys::Datum],
) -> Result<i64> {
    let mut jobs = 0;
    let mut freed = Freed::default();
    let mut keyed = Vec::new();
    STATEMENTS.with(|statements| {
        statement(statements).rows(arguments, |row| {
            jobs += 1;
            freed.add(row.get(2), row.get(3), None);
            keyed.extend(row.get::<i64>(1).filter(|_| row.get(4) == Some(true)));
        })
    })?;
    freed.note()?;
    take_again(&keyed)?;
    Ok(jobs)
}
