//! Concurrency keys that may have room again.

use crate::error::Result;
use crate::home::JOBS;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;

struct Statements {
    note: OwnStatement,
    forget_unlimited: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        note: OwnStatement::new(
            "insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, started_at)
             select distinct n.worker, n.key, 0, '-infinity'::timestamptz from unnest($1, $2) n (worker, key)",
            &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
        ),
        // The limits are read once, whatever plan there is: there are few of them.
        forget_unlimited: OwnStatement::new(
            "delete from lockstep_internal.worker_limit_use u
              where u.ctid = any (array(
                select o.ctid from lockstep_internal.worker_limit_use o
                 where o.worker <> all (array(select l.name from lockstep_internal.worker_limit l))
                 limit $1 for update skip locked))",
            &[pg_sys::INT8OID],
        ),
    };
}

/// Removes what counts against limits of workers that have none, so many rows at most; returns how many.
pub(crate) fn forget_uses_of_unlimited(most: i64) -> Result<u64> {
    STATEMENTS.with(|statements| statements.forget_unlimited.run(&[datum(most)]))
}

/// The concurrency keys of jobs that end or are given back.
#[derive(Default)]
pub(in crate::job) struct Freed {
    workers: Vec<String>,
    keys: Vec<String>,
}

impl Freed {
    /// A job of a worker that has a limit, as far as is known, leaves its place to another one.
    pub(in crate::job) fn add(
        &mut self,
        worker: Option<String>,
        key: Option<String>,
        is_limited: Option<bool>,
    ) {
        let Some(worker) = worker else { return };
        if is_limited == Some(true) {
            wake(JOBS.named(&worker));
        }
        if let Some(key) = key {
            self.workers.push(worker);
            self.keys.push(key);
        }
    }

    /// Lets the next claim know. Also where no limit is known: one may have been set since, and jobs of the key been blocked.
    pub(in crate::job) fn note(self) -> Result<()> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let arguments = [datum(self.workers), datum(self.keys)];
        STATEMENTS.with(|statements| statements.note.run(&arguments))?;
        Ok(())
    }
}
