//! A second server that follows a cluster by streaming replication and can replace it.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::cluster::{Cluster, PORT, SUPERUSER, configure};

/// How long it may take to catch up or to be promoted.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hot standby. Its cluster answers queries, and accepts writes after `promote`.
#[derive(Debug)]
pub struct Standby {
    cluster: Cluster,
}

impl Standby {
    /// Copies the primary as it is now and follows it from then on. Its log is `target/pg/<purpose>.log`.
    ///
    /// A slot on the primary, named after `purpose`, keeps the WAL that the standby has not received yet.
    pub fn start(primary: &Cluster, purpose: &str, settings: &[(&str, &str)]) -> Result<Self> {
        let program = primary.home().installation.bin.join("pg_basebackup");
        let slot = purpose.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        let cluster = Cluster::start_with(purpose, |home, account| {
            let output = account
                .command(&program)
                .args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"])
                .args(["--write-recovery-conf", "--create-slot", "--slot", &slot])
                .args(["--port", &PORT.to_string(), "--username", SUPERUSER])
                .arg("--host")
                .arg(primary.socket())
                .arg("--pgdata")
                .arg(home.data())
                .output()
                .context("cannot run pg_basebackup")?;
            let errors = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "pg_basebackup: {}", errors.trim());
            // The copy has the primary's settings; of the socket's place and these settings the last one counts.
            configure(home, &[], settings)
        })?;
        Ok(Self { cluster })
    }

    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// To stop, kill or resume it.
    pub fn cluster_mut(&mut self) -> &mut Cluster {
        &mut self.cluster
    }

    /// Waits until everything that the primary has written so far is visible here.
    pub fn catch_up(&self, primary: &Cluster) -> Result<()> {
        let row = primary
            .connect("postgres")?
            .query_one("select pg_current_wal_insert_lsn()::text", &[])?;
        let goal: String = row.get(0);
        let mut client = self.cluster.connect("postgres")?;
        let begun = Instant::now();
        let reached = "select coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)";
        while !client.query_one(reached, &[&goal])?.get::<_, bool>(0) {
            if begun.elapsed() > PATIENCE {
                bail!(
                    "the standby does not reach {goal}, see {}",
                    self.cluster.log().display()
                );
            }
            sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Promotes it to a primary, whether the old primary still runs or not.
    pub fn promote(&self) -> Result<()> {
        let row = self.cluster.connect("postgres")?.query_one(
            "select pg_promote(wait => true, wait_seconds => $1)",
            &[&i32::try_from(PATIENCE.as_secs())?],
        )?;
        ensure!(
            row.get::<_, bool>(0),
            "the standby was not promoted, see {}",
            self.cluster.log().display()
        );
        Ok(())
    }
}
