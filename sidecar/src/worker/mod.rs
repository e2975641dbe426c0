//! Claims jobs of the queue and runs them ([`runner`]). The command `work` runs those of the host: what a worker does is in a file
//! of its own ([`execute`], [`irker`], [`cluster`]); [`registry`] names them all.

mod cluster;
mod done;
mod execute;
mod failure;
mod irker;
mod rate;
mod registry;
mod runner;
mod session;

use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::command_line::Work;
use crate::connection::Address;
use crate::database::{Effects, Job};
use crate::error::Error;
use crate::interrupt::Interrupts;

pub(crate) use failure::Failure;
use registry::HostWorkers;
pub(crate) use runner::{Runner, Settings};

pub(crate) type Performing<'a> = Pin<Box<dyn Future<Output = Result<(), Failure>> + Send + 'a>>;

/// What a runner runs.
pub(crate) trait Workers: Send + Sync + 'static {
    /// The names under which their jobs are enqueued.
    fn names(&self) -> Vec<&'static str>;

    /// Does a job of one of them.
    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a>;
}

pub(crate) async fn run(arguments: &Work) -> Result<ExitCode, Error> {
    let url = arguments.connection.database_url.as_ref();
    let address = Address::new(url)?.through_pooler(arguments.pooler);
    let sessions = usize::from(arguments.concurrency);
    let effects = Effects::new(&address, &arguments.schema, sessions)?;
    let workers = Arc::new(HostWorkers::new(&arguments.workers, effects)?);
    let settings = Settings {
        name: arguments.name.clone(),
        concurrency: sessions,
        lease: Duration::from_secs(arguments.lease),
        poll: Duration::from_secs(arguments.poll),
        grace: Duration::from_secs(arguments.grace),
        until_empty: arguments.until_empty,
    };
    // From here on a signal is not the end of the process: there may be jobs to give back.
    let mut interrupts = Interrupts::listen()?;
    let runner = Runner::start(settings, address, workers).await?;
    runner.work(&mut interrupts).await
}
