//! Which database owns the jobs: a copy contains those of the database it was copied from.

use crate::error::{JobError, OrRaise, Result};
use lockstep_server::OwnStatement;
use lockstep_server::error::notice;
use lockstep_server::home::Home;
use lockstep_server::kept;
use lockstep_server::waking::Work;
use pgrx::prelude::*;

/// Waited for by worker name.
pub(crate) const JOBS: Work = Work::new("lockstep_job", 0xffff);

kept! {
    static HOME: Home<1> = Home::new(
        "lockstep_internal.home",
        "select count(*) from lockstep_internal.job j where j.status <> 'dead'",
        &[
            "delete from lockstep_internal.job where status <> 'dead'",
            "delete from lockstep_internal.job_runner",
            "delete from lockstep_internal.worker_limit_use",
        ],
        // Numbers of transactions of another server say nothing here, and a dump does not contain what blocks jobs.
        &[
            "update lockstep_internal.job set status = 'waiting', queued_by = pg_current_xact_id() where status in ('waiting', 'blocked')",

            "delete from lockstep_internal.job_place",
        ],
        JOBS,
    );
    static OF_VALUE: OwnStatement = OwnStatement::new(
        "select string_agg(format('%s: %s', v.what, v.rows), ', ' order by v.place)
           from (values (1, (select count(*) from lockstep_internal.job), 'jobs'),
                        (2, (select count(*) from lockstep.feature_audit), 'recorded changes of feature flags'),
                        (3, (select count(*) from lockstep.backfill_job), 'backfill jobs')) v (place, rows, what)
          where v.rows > 0",
        &[],
    );
}

/// Whether the jobs belong to another database, or to an earlier time of this one.
pub(crate) fn is_of_another() -> Result<bool> {
    HOME.with(|home| home.is_of_another())
}

/// Reports held work, if there is any.
pub(crate) fn settle() -> Result<()> {
    if let Some([jobs]) = HOME.with(|home| home.settle())? {
        notice(
            "jobs are held: this database is a copy, or was restored",
            format!("Held jobs: {jobs}; new ones are held as well."),
            "Call lockstep.release_restored() if this database takes the place of the other one, else lockstep.discard_restored().",
        );
    }
    Ok(())
}

/// Reports what DROP EXTENSION removes, because it cannot do so itself.
pub(crate) fn say_what_would_go() -> Result<()> {
    let mut rows = None;
    OF_VALUE.with(|statement| statement.rows(&[], |row| rows = row.get::<String>(1)))?;
    if let Some(rows) = rows {
        notice(
            "drop extension removes what lockstep has recorded in this database",
            format!("It has {rows}."),
            "To keep a record, copy it first: create table feature_audit as select * from lockstep.feature_audit.",
        );
    }
    Ok(())
}

/// Allows restored work to continue here.
#[pg_extern(sql = r#"
create function lockstep.release_restored()
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.release_restored() is
  'runs the jobs that a restored or copied database holds; returns how many. For the database that takes the place of the other one';
revoke execute on function lockstep.release_restored() from public;
grant execute on function lockstep.release_restored() to lockstep_admin;
"#)]
fn release_restored() -> i64 {
    let [jobs] = HOME.with(|home| home.release()).or_raise();
    jobs
}

/// Discards restored work, so that this database starts with nothing in flight.
#[pg_extern(sql = r#"
create function lockstep.discard_restored()
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.discard_restored() is
  'drops the jobs that a restored or copied database holds, dead ones excepted; returns how many. For a copy that works beside the other one';
revoke execute on function lockstep.discard_restored() from public;
grant execute on function lockstep.discard_restored() to lockstep_admin;
"#)]
fn discard_restored() -> i64 {
    let discarded = HOME.with(|home| home.discard()).or_raise();
    let [jobs] = discarded
        .ok_or_else(|| JobError::NotACopy.into())
        .or_raise();
    jobs
}
