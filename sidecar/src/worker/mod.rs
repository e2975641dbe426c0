//! The command `work`: claims jobs of the queue and runs them ([`runner`]). What a worker does is in a file of its own
//! ([`execute`], [`irker`], [`cluster`]); [`registry`] names them all.

mod cluster;
mod done;
mod execute;
mod failure;
mod irker;
mod rate;
mod registry;
mod runner;
mod session;

use std::process::ExitCode;

use crate::command_line::Work;
use crate::connection::Address;
use crate::database::Effects;
use crate::error::Error;
use crate::interrupt::Interrupts;

use runner::Runner;

pub(crate) async fn run(arguments: &Work) -> Result<ExitCode, Error> {
    let workers = registry::names(&arguments.workers)?;
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let sessions = usize::from(arguments.concurrency);
    let effects = Effects::new(&address, &arguments.schema, sessions)?;
    // From here on a signal is not the end of the process: there may be jobs to give back.
    let mut interrupts = Interrupts::listen()?;
    let runner = Runner::start(arguments, address, effects, workers).await?;
    runner.work(&mut interrupts).await
}
