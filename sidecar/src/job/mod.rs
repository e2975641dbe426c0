//! Claims jobs from the queue and runs them ([`runner`]). [`Workers`] implement the jobs.

mod done;
mod failure;
mod pause;
mod rate;
mod report;
mod runner;
mod session;

use std::pin::Pin;

use crate::database::Job;

pub(crate) use failure::Failure;
pub(crate) use runner::{Runner, Settings};

pub(crate) type Performing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// What a job is an instance of, as the log names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Class<'a> {
    pub(crate) name: &'a str,
    /// The former name of a renamed worker, if the job was enqueued under that.
    pub(crate) old_name: Option<&'a str>,
}

/// The jobs that a runner can run.
pub(crate) trait Workers: Send + Sync + 'static {
    /// The names under which the jobs are enqueued.
    fn names(&self) -> Vec<&'static str>;

    /// The class of a job with that name of a worker.
    fn class<'a>(&self, worker: &'a str) -> Class<'a> {
        Class {
            name: worker,
            old_name: None,
        }
    }

    /// Runs a job of one of them.
    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a>;
}
