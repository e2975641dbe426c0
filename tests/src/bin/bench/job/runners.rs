//! Runner processes: ours, and those of graphile-worker, installed with npm.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use lockstep_tests::cluster::{PORT, SUPERUSER};
use lockstep_tests::target;

use crate::npm;
use crate::server::Copy;

const RUNNERS: usize = 2;
const CONCURRENCY: &str = "10";
const PACKAGE: &str = "graphile-worker";
const VERSION: &str = "0.17.3";

/// `BATCHES` is what its documentation recommends for many short jobs.
const SCRIPT: &str = r#"
const { run } = require("graphile-worker");
const worker = { concurrentJobs: Number(process.env.CONCURRENCY), pollInterval: 1000 };
if (process.env.BATCHES) {
  Object.assign(worker, { localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 });
}
const { Logger } = require("graphile-worker");
run({
  connectionString: "postgresql:///",
  preset: { worker },
  logger: new Logger(() => () => {}),
  taskList: { empty: async () => {} },
}).then((runner) => runner.promise);
"#;

/// A queue to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    Lockstep,
    Graphile { in_batches: bool },
}

impl Peer {
    /// All of them, if graphile-worker can be installed.
    pub(super) fn all() -> Result<Option<[Self; 3]>> {
        if !npm::install(PACKAGE, VERSION)? {
            return Ok(None);
        }
        fs::write(peer_directory().join("runner.js"), SCRIPT)?;
        Ok(Some([
            Self::Lockstep,
            Self::Graphile { in_batches: false },
            Self::Graphile { in_batches: true },
        ]))
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Lockstep => "lockstep",
            Self::Graphile { in_batches: false } => "graphile-worker",
            Self::Graphile { in_batches: true } => "graphile-worker, in batches",
        }
    }

    /// `$1`: how many.
    pub(super) fn enqueue(self) -> &'static str {
        match self {
            // No channels, so nobody is notified.
            Self::Lockstep => {
                "select lockstep.enqueue_job('Integrations::IrkerWorker', '[1, [], false, {}, null]') from generate_series(1, $1)"
            }
            Self::Graphile { .. } => {
                "select graphile_worker.add_job('empty', '{}'::json) from generate_series(1, $1)"
            }
        }
    }

    pub(super) fn left(self) -> &'static str {
        match self {
            Self::Lockstep => "select exists (select from lockstep_internal.job)",
            Self::Graphile { .. } => "select exists (select from graphile_worker.jobs)",
        }
    }

    /// Whether all runners wait for jobs.
    fn ready(self) -> &'static str {
        match self {
            Self::Lockstep => "select count(*) = $1 from lockstep_internal.job_runner",
            // One session each listens.
            Self::Graphile { .. } => {
                "select count(*) = $1 from pg_stat_activity where datname = current_database() and query ilike 'listen%'"
            }
        }
    }

    fn command(self, copy: &Copy) -> Command {
        match self {
            Self::Lockstep => {
                let mut command = Command::new(target().join("release/lockstep-sidecar"));
                command
                    .args(["work", "--concurrency", CONCURRENCY])
                    .env("DATABASE_URL", copy.cluster.address(copy.database()));
                command
            }
            Self::Graphile { in_batches } => {
                let mut command = Command::new("node");
                command
                    .arg("runner.js")
                    .current_dir(peer_directory())
                    .env("CONCURRENCY", CONCURRENCY)
                    .env("PGHOST", copy.cluster.socket())
                    .env("PGPORT", PORT.to_string())
                    .env("PGUSER", SUPERUSER)
                    .env("PGDATABASE", copy.database());
                if in_batches {
                    command.env("BATCHES", "1");
                }
                command
            }
        }
    }
}

fn peer_directory() -> PathBuf {
    npm::directory(PACKAGE, VERSION)
}

/// Runner processes that end when this is dropped.
pub(super) struct Runners(Vec<Child>);

impl Runners {
    pub(super) fn start(copy: &mut Copy, peer: Peer) -> Result<Self> {
        let mut runners = Self(Vec::new());
        for number in 1..=RUNNERS {
            let child = peer
                .command(copy)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .with_context(|| format!("cannot run {}", peer.name()))?;
            runners.0.push(child);
            // One after the other: the first one creates its tables.
            let begun = Instant::now();
            while !copy
                .client
                .query_one(peer.ready(), &[&i64::try_from(number)?])?
                .get::<_, bool>(0)
            {
                if begun.elapsed() > Duration::from_secs(60) {
                    bail!("{} does not start", peer.name());
                }
                sleep(Duration::from_millis(50));
            }
        }
        // What they do after they have started to listen.
        sleep(Duration::from_millis(500));
        Ok(runners)
    }
}

impl Drop for Runners {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
