//! What the engine needs from a job.

use super::counts::Counts;
use super::key::{KeyRange, Walk};
use crate::error::Result;
use lockstep_server::as_role;
use lockstep_server::host::Relation;

/// Processes one range of keys with set-based statements. It runs in a subtransaction of the transaction that moves the position
/// in the range, as the table's owner. It counts updated and unresolved rows; the engine counts the rows of the range.
pub(crate) trait Job {
    fn run(&self, range: &KeyRange) -> Result<Counts>;

    /// Notes of each row that is not right what would become of it, whether it would be written, and its key. False if the job cannot
    /// tell without doing it.
    fn preview(&self, _note: &mut dyn FnMut(&str, bool, i64)) -> Result<bool> {
        Ok(false)
    }
}

/// A job and the table it processes.
pub(crate) struct Task {
    pub(crate) table: Relation,
    pub(crate) walk: Walk,
    pub(crate) job: Box<dyn Job>,
}

impl Task {
    /// Runs `work` as the table's owner, restricted, whoever started the job.
    pub(crate) fn as_owner<R>(&self, work: impl FnOnce() -> R) -> R {
        as_role(&self.table.rights(), work)
    }
}
