//! Gives each test its own database on the shared cluster.

use std::sync::OnceLock;

use anyhow::{Result, anyhow};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

/// The cluster shared by all tests. It outlives every test: its watchdog stops it when the process is gone.
pub(crate) fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| Cluster::start("test", &[]))
        .as_ref()
        .map_err(|error| anyhow!("{error:#}"))
}

/// An empty database; the name must be unique among tests.
pub(crate) fn empty(name: &str) -> Result<Client> {
    cluster()?.create_database(name)
}

/// A database with the application's tables and the extension, not attached.
pub(crate) fn with_host(name: &str, layout: Layout) -> Result<Client> {
    let mut client = empty(name)?;
    host::create(&mut client, layout)?;
    client.batch_execute("create extension lockstep")?;
    Ok(client)
}

/// The same with both extensions.
pub(crate) fn with_slack(name: &str, layout: Layout) -> Result<Client> {
    let mut client = with_host(name, layout)?;
    client.batch_execute("create extension lockstep_slack")?;
    Ok(client)
}
