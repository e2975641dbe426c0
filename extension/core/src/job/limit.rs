//! How many jobs of a worker run at once, over all runners. A claim locks the limits of its workers: what another claim has locked
//! is left to that one, so nobody waits and nothing is counted twice.

use super::check_worker;
use crate::error::{JobError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::HashMap;

const MOST: i32 = 10_000;

struct Statements {
    set: OwnStatement,
    remove: OwnStatement,
    lock: OwnStatement,
    running: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        set: OwnStatement::new(
            "insert into lockstep_internal.worker_limit (name, concurrency) values ($1, $2)
             on conflict (name) do update set concurrency = excluded.concurrency",
            &[pg_sys::TEXTOID, pg_sys::INT4OID],
        ),
        remove: OwnStatement::new(
            "delete from lockstep_internal.worker_limit where name = $1",
            &[pg_sys::TEXTOID],
        ),
        lock: OwnStatement::by_index(
            "select name, concurrency from lockstep_internal.worker_limit where name = any ($1) order by name for update skip locked",
            &[pg_sys::TEXTARRAYOID],
            &["name"],
        ),
        // By runner, because that index is there anyway.
        running: OwnStatement::by_index(
            "select j.worker, count(*)::integer from lockstep_internal.job_runner r
               join lockstep_internal.job j on j.runner = r.id and j.status = 'running'
              where r.id > 0 and j.worker = any ($1) group by j.worker",
            &[pg_sys::TEXTARRAYOID],
            &["id", "runner"],
        ),
    };
}

/// Limits how many jobs of a worker run at once.
#[pg_extern(sql = r#"
create function lockstep.limit_worker(name text, concurrency integer)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.limit_worker(text, integer) is
  'limits how many jobs of a worker run at once, over all runners; null removes the limit. Running jobs are not stopped';
revoke execute on function lockstep.limit_worker(text, integer) from public;
grant execute on function lockstep.limit_worker(text, integer) to lockstep_admin, lockstep_app;
"#)]
fn limit_worker(name: Option<&str>, concurrency: Option<i32>) {
    let name = required(name, "name");
    let limit = || -> Result<()> {
        check_worker(name)?;
        STATEMENTS.with(|statements| match concurrency {
            None => statements.remove.run(&[datum(name)]),
            Some(concurrency) if (1..=MOST).contains(&concurrency) => {
                statements.set.run(&[datum(name), datum(concurrency)])
            }
            Some(concurrency) => Err(JobError::Concurrency { concurrency }.into()),
        })?;
        Ok(())
    };
    limit().or_raise();
}

/// How many jobs of each of these workers may be claimed now. The others have no limit.
pub(super) fn rooms(workers: &[String], limited: &[String]) -> Result<Vec<i32>> {
    let mut rooms: HashMap<String, i32> = limited.iter().map(|name| (name.clone(), 0)).collect();
    let mut locked = Vec::new();
    STATEMENTS.with(|statements| {
        statements
            .lock
            .rows_seeing(View::Newest, &[datum(limited.to_vec())], |row| {
                if let Some((name, concurrency)) = row.get::<String>(1).zip(row.get::<i32>(2)) {
                    locked.push(name.clone());
                    rooms.insert(name, concurrency);
                }
            })
    })?;
    // A new look: what the last holder of the lock has claimed counts.
    STATEMENTS.with(|statements| {
        statements
            .running
            .rows_seeing(View::Newest, &[datum(locked)], |row| {
                if let Some((name, running)) = row.get::<String>(1).zip(row.get::<i32>(2))
                    && let Some(room) = rooms.get_mut(&name)
                {
                    *room = (*room - running).max(0);
                }
            })
    })?;
    let room = |name: &String| rooms.get(name).copied().unwrap_or(i32::MAX);
    Ok(workers.iter().map(room).collect())
}
