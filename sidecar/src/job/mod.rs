//! Claims jobs from the queue and runs them ([`runner`]). [`Workers`] implement the jobs.

mod done;
mod failure;
mod rate;
mod runner;
mod session;

use std::pin::Pin;

use crate::database::Job;

pub(crate) use failure::Failure;
pub(crate) use runner::{Runner, Settings};

pub(crate) type Performing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// The jobs that a runner can run.
pub(crate) trait Workers: Send + Sync + 'static {
    /// The names under which the jobs are enqueued.
    fn names(&self) -> Vec<&'static str>;

    /// Runs a job of one of them.
    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a>;
}
