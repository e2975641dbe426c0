//! Concurrency keys that may have room again.

use crate::error::Result;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum};
use pgrx::pg_sys;

struct Statements {
    note: OwnStatement,
    forget_unlimited: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        note: OwnStatement::new(
            "insert into lockstep_internal.worker_limit_use (worker, concurrency_key, jobs, until)
             select n.worker, n.key, 0, '-infinity' from unnest($1, $2) n (worker, key)",
            &[pg_sys::TEXTARRAYOID, pg_sys::TEXTARRAYOID],
        ),
        forget_unlimited: OwnStatement::new(
            "delete from lockstep_internal.worker_limit_use u
              where not exists (select from lockstep_internal.worker_limit l where l.name = u.worker)",
            &[],
        ),
    };
}

/// Removes what counts against limits of workers that have none.
pub(crate) fn forget_uses_of_unlimited() -> Result<()> {
    STATEMENTS.with(|statements| statements.forget_unlimited.run(&[]))?;
    Ok(())
}

/// The concurrency keys of jobs that end or are given back.
#[derive(Default)]
pub(in crate::job) struct Freed {
    workers: Vec<String>,
    keys: Vec<String>,
}

impl Freed {
    pub(in crate::job) fn add(&mut self, worker: String, key: Option<String>) {
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
