//! Claims jobs of the queue and runs them ([`runner`]). What they do is the business of [`Workers`].

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

/// What a runner runs.
pub(crate) trait Workers: Send + Sync + 'static {
    /// The names under which their jobs are enqueued.
    fn names(&self) -> Vec<&'static str>;

    /// Does a job of one of them.
    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a>;
}
