//! What a job is to the engine.

use super::counts::Counts;
use super::key::{KeyRange, Walk};
use crate::error::Result;
use lockstep_server::as_role;
use lockstep_server::host::Relation;
use pgrx::pg_sys::Oid;

/// How to do one range of keys, as a set. It runs in a subtransaction of the transaction that moves the place in the range, as the
/// owner of the table. It counts what it updated and what it could not resolve; the engine counts the rows of the range.
pub(crate) trait Job {
    fn run(&self, range: &KeyRange) -> Result<Counts>;
}

/// A job, and the table it goes through.
pub(crate) struct Task {
    pub(crate) table: Relation,
    pub(crate) walk: Walk,
    pub(crate) job: Box<dyn Job>,
}

impl Task {
    /// Whoever runs the job, it does so as the owner of the table, restricted.
    pub(crate) fn as_owner<R>(&self, work: impl FnOnce() -> R) -> R {
        as_role(Oid::from(self.table.owner), work)
    }
}
