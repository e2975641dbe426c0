//! Runs that have lost their workers, as after a restart of the server or a failover, continue by themselves: sidecars and pg_cron
//! call this every few seconds, on any primary as soon as it accepts connections. Nothing has to be preloaded for it; where the
//! library is, the [launcher](super::launcher) does it.

use super::control::{go_on_with_some, workers};
use super::runs::{Run, worker};
use crate::error::{OrRaise, Result};
use crate::home;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, attempt};
use pgrx::prelude::*;
use std::panic::AssertUnwindSafe;

kept! {
    // Who looks at the same moment skips the run, and later finds that workers have been asked for. These take a moment; where they
    // fail to start they are not asked for all the time. A time to come is of a server whose clock was ahead. A run without workers
    // belongs to a session, which calls again by itself.
    static LOST: OwnStatement = OwnStatement::new(
        "select r.id
           from lockstep_internal.backfill_run r join lockstep.backfill_progress p on p.run = r.id
          where r.status = 'running' and r.workers > 0 and p.pids = '{}' and p.role is not null
            and (r.workers_asked_at is null or r.workers_asked_at not between clock_timestamp() - interval '10 seconds' and clock_timestamp())
          order by r.id for update of r skip locked",
        &[],
    );
}

/// Resumes runs that have lost all workers.
#[pg_extern(sql = r#"
create function lockstep.resume_lost_backfills()
returns bigint[] language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.resume_lost_backfills() is
  'starts the workers of running backfills that have lost all of theirs, as after a failover; returns their numbers. One that cannot be resumed is a warning, and in last_error of backfill_progress. The sidecar calls it, or pg_cron may; a copy of a database has its runs held';
revoke execute on function lockstep.resume_lost_backfills() from public;
grant execute on function lockstep.resume_lost_backfills() to lockstep_admin, lockstep_app;
"#)]
fn resume_lost_backfills() -> Vec<i64> {
    resume_lost().or_raise()
}

pub(super) fn resume_lost() -> Result<Vec<i64>> {
    // The original does them.
    if home::is_of_another()? {
        return Ok(Vec::new());
    }
    let mut lost: Vec<i64> = Vec::new();
    LOST.with(|statement| statement.rows(&[], |row| lost.extend(row.get::<i64>(1))))?;
    let mut resumed = Vec::new();
    for run in lost {
        // What keeps one from going on must not keep the others.
        match attempt(AssertUnwindSafe(|| resume(run).or_raise())) {
            Ok(()) => resumed.push(run),
            Err(failure) => Run::not_resumed(run, &failure.message)?,
        }
    }
    Ok(resumed)
}

/// Fewer workers than it should have do the run as well.
fn resume(run: i64) -> Result<()> {
    let run = Run::lock(run)?;
    let started = go_on_with_some(&run)?;
    match worker::check_all(started, workers(&run)) {
        Err(fewer) if started > 0 => Run::resumed_with_fewer(run.id, &fewer.message()),
        all => all,
    }
}
