//! The command `work`: runs GitLab's jobs. Each worker has its own file ([`execute`], [`irker`], [`cluster`]); [`registry`] lists
//! them.

mod arguments;
mod cluster;
mod execute;
mod irker;
mod registry;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Address;
use crate::database::{Effects, LostBackfills};
use crate::error::Error;
use crate::interrupt::Interrupts;
use crate::job::{Runner, Settings};
use crate::resume::keep_resuming;

pub(crate) use arguments::Work;
use registry::HostWorkers;

pub(crate) async fn run(arguments: &Work) -> Result<ExitCode, Error> {
    let url = arguments.connection.database_url.as_ref();
    let address = Address::new(url)?.through_pooler(arguments.pooler);
    let lost = LostBackfills::new(&address)?;
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
        gives_up: true,
    };
    // From here on a signal does not end the process: there may be jobs to return.
    let mut interrupts = Interrupts::listen_to_hangup()?;
    let runner = Runner::start(settings, address, workers).await?;
    let resuming = tokio::spawn(keep_resuming(lost));
    let ended = runner.work(&mut interrupts).await;
    resuming.abort();
    ended
}
