//! Finished jobs that have to be completed, in batches.

use std::collections::VecDeque;
use std::mem;

use tracing::{debug, warn};

use super::failure::Failure;
use crate::database::{Job, Queue};
use crate::error::Error;

#[derive(Default)]
pub(super) struct Done {
    pub(super) completed: Vec<Job>,
    pub(super) failed: VecDeque<(Job, Failure)>,
}

impl Done {
    pub(super) fn is_empty(&self) -> bool {
        self.completed.is_empty() && self.failed.is_empty()
    }

    /// Removes the jobs that were completed; an error leaves the rest.
    pub(super) async fn hand_in(&mut self, queue: &Queue) -> Result<(), Error> {
        while let Some(first) = self.completed.first() {
            let runner = first.runner;
            let (its, others): (Vec<Job>, Vec<Job>) = mem::take(&mut self.completed)
                .into_iter()
                .partition(|job| job.runner == runner);
            let ids: Vec<i64> = its.iter().map(|job| job.id).collect();
            match queue.complete(runner, &ids).await {
                Ok(refused) => {
                    self.completed = others;
                    if !refused.is_empty() {
                        warn!(runner, jobs = ?refused, "done too late: others may do them again");
                    }
                }
                Err(error) => {
                    self.completed = its.into_iter().chain(others).collect();
                    return Err(error);
                }
            }
        }
        while let Some((job, failure)) = self.failed.front() {
            match queue.fail(job.runner, job.id, &failure.to_string()).await? {
                Some(outcome) => debug!(job = job.id, outcome, "reported a failure"),
                None => warn!(job = job.id, "failed too late: others do it again"),
            }
            self.failed.pop_front();
        }
        Ok(())
    }
}
