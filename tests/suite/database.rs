//! Gives each test its own database on the shared cluster.

use std::cell::RefCell;
use std::mem::take;
use std::sync::{Mutex, OnceLock, PoisonError};

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

/// So many databases of tests that have ended are dropped at once: DROP DATABASE begins with a checkpoint, which is cheap after another.
const LOT: usize = 30;

/// Databases of tests that have ended. Kept until the end, all of them would take 14 GB.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

thread_local! {
    static OF_THIS_TEST: RefCell<Databases> = const { RefCell::new(Databases(Vec::new())) };
}

/// The databases of a test, which ends with its thread.
struct Databases(Vec<String>);

impl Drop for Databases {
    fn drop(&mut self) {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        ended.append(&mut self.0);
    }
}

/// An empty database; the name must be unique among tests.
pub(crate) fn empty(name: &str) -> Result<Client> {
    drop_ended()?;
    let client = cluster()?.create_database(name)?;
    OF_THIS_TEST.with_borrow_mut(|databases| databases.0.push(name.to_owned()));
    Ok(client)
}

fn drop_ended() -> Result<()> {
    let lot = {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() < LOT {
            return Ok(());
        }
        take(&mut *ended)
    };
    let mut client = cluster()?.connect("postgres")?;
    // It waits for all processes of the server, and a test may have stopped one.
    client.batch_execute("set statement_timeout = '20s'")?;
    for name in lot {
        // One that cannot be dropped, as it has a subscription or a prepared transaction, is left.
        client
            .batch_execute(&format!("drop database if exists \"{name}\" with (force)"))
            .ok();
    }
    Ok(())
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
