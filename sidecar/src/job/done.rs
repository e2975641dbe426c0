//! Finished jobs that have to be completed, in batches.

use std::collections::VecDeque;
use std::mem;

use tracing::{debug, warn};

use super::failure::Failure;
use crate::database::{Job, Queue};
use crate::error::Error;

#[derive(Default)]
pub(super) struct Done {
    completed: Vec<Job>,
    failed: VecDeque<(Job, Failure)>,
    /// The database refused just these. They are tried again now and then, and nothing waits for them.
    refused: Vec<(Job, Option<Failure>)>,
}

impl Done {
    /// Without those that were refused.
    pub(super) fn is_empty(&self) -> bool {
        self.completed.is_empty() && self.failed.is_empty()
    }

    /// How many were completed, and how many failed.
    pub(super) fn count(&self) -> [u64; 2] {
        let failed = self.refused.iter().filter(|(_, it)| it.is_some()).count();
        let completed = self.refused.len() - failed;
        [
            (self.completed.len() + completed) as u64,
            (self.failed.len() + failed) as u64,
        ]
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        let failed = self.failed.iter().map(|(job, _)| job);
        let refused = self.refused.iter().map(|(job, _)| job);
        self.completed.iter().chain(failed).chain(refused)
    }

    pub(super) fn add(&mut self, job: Job, failure: Option<Failure>) {
        match failure {
            None => self.completed.push(job),
            Some(failure) => self.failed.push_back((job, failure)),
        }
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.completed.extend(other.completed);
        self.failed.extend(other.failed);
        self.refused.extend(other.refused);
    }

    pub(super) fn try_refused_again(&mut self) {
        for (job, failure) in mem::take(&mut self.refused) {
            self.add(job, failure);
        }
    }

    /// Removes the jobs that were completed; an error leaves the rest.
    pub(super) async fn hand_in(&mut self, queue: &Queue) -> Result<(), Error> {
        while let Some(first) = self.completed.first() {
            let runner = first.runner;
            let (its, others): (Vec<Job>, Vec<Job>) = mem::take(&mut self.completed)
                .into_iter()
                .partition(|job| job.runner == runner);
            self.completed = others;
            match complete(queue, runner, &its).await {
                Ok(()) => {}
                // One of them spoils it for all.
                Err(error) if is_of_a_job(&error) => self.one_by_one(queue, its).await?,
                Err(error) => {
                    self.completed.extend(its);
                    return Err(error);
                }
            }
        }
        while let Some((job, failure)) = self.failed.pop_front() {
            match queue.fail(job.runner, job.id, &failure.to_string()).await {
                Ok(Some(outcome)) => debug!(job = job.id, outcome, "reported a failure"),
                Ok(None) => warn!(job = job.id, "failed too late: others do it again"),
                Err(error) if is_of_a_job(&error) => self.pass_over(job, Some(failure), &error),
                Err(error) => {
                    self.failed.push_front((job, failure));
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    async fn one_by_one(&mut self, queue: &Queue, jobs: Vec<Job>) -> Result<(), Error> {
        let mut jobs = jobs.into_iter();
        while let Some(job) = jobs.next() {
            match complete(queue, job.runner, std::slice::from_ref(&job)).await {
                Ok(()) => {}
                Err(error) if is_of_a_job(&error) => self.pass_over(job, None, &error),
                Err(error) => {
                    self.completed.push(job);
                    self.completed.extend(jobs);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn pass_over(&mut self, job: Job, failure: Option<Failure>, error: &Error) {
        let (number, error) = (job.id, error.report());
        warn!(
            job = number,
            error, "the database refuses to complete a job: it is tried again later"
        );
        self.refused.push((job, failure));
    }
}

async fn complete(queue: &Queue, runner: i64, jobs: &[Job]) -> Result<(), Error> {
    let ids: Vec<i64> = jobs.iter().map(|job| job.id).collect();
    let refused = queue.complete(runner, &ids).await?;
    if !refused.is_empty() {
        warn!(runner, jobs = ?refused, "done too late: others may do them again");
    }
    Ok(())
}

/// Whether another job may fare better: no lost session, missing right or lack of room, which all calls have in common.
fn is_of_a_job(error: &Error) -> bool {
    !error.needs_new_session() && !error.is_temporary()
}
