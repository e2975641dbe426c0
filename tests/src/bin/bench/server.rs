//! The measured server, and databases that are identical to the page.
//!
//! The cost of a statement depends on what ran before it: on free space in tables, split pages in indexes, and row versions that
//! nobody has vacuumed. So each measurement gets its own database, copied file by file from a vacuumed template, read into the
//! buffers, and followed by a checkpoint. Then all measurements of a workload start from the same pages, and each is the first to
//! write the full image of every page it changes.

use anyhow::{Context, Result};
use lockstep_tests::cluster::Cluster;
use postgres::Client;

/// The only copy that exists at a time.
const COPY: &str = "measured";

/// A copied database runs no jobs and sends nothing until an administrator releases it.
const RELEASE: &str = "do $$ begin
  if exists (select from pg_extension where extname = 'lockstep') then perform lockstep.release_restored(); end if;
  if exists (select from pg_extension where extname = 'lockstep_slack') then perform lockstep.release_restored_slack(); end if;
end $$";

/// Settings that keep the server's background work out of the measured time, and the data in its buffers. Everything else is
/// PostgreSQL's default, including `synchronous_commit` and `full_page_writes`.
const SETTINGS: [(&str, &str); 8] = [
    ("shared_buffers", "6GB"),
    ("max_wal_size", "16GB"),
    // Recycles old segments, so that no statement pays for creating them.
    ("min_wal_size", "12GB"),
    ("checkpoint_timeout", "1h"),
    ("autovacuum", "off"),
    ("jit", "off"),
    // For a server without subscribers.
    ("wal_level", "replica"),
    ("fsync", "off"),
];

/// A private server with settings for measurements.
pub(crate) struct Server {
    cluster: Cluster,
    admin: Client,
    create_option: &'static str,
    has_prewarm: bool,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// `settings` override the usual ones.
    pub(crate) fn start_with(settings: &[(&str, &str)]) -> Result<Self> {
        let settings = [&SETTINGS, settings].concat();
        let cluster = Cluster::start("bench", &settings)?;
        let mut admin = cluster.connect("postgres")?;
        let row = admin.query_one(
            "select current_setting('server_version'), current_setting('server_version_num')::integer >= 150000, \
                    exists (select from pg_available_extensions where name = 'pg_prewarm')",
            &[],
        )?;
        let version: String = row.get(0);
        eprintln!("bench: PostgreSQL {version}");
        let has_prewarm: bool = row.get(2);
        if !has_prewarm {
            eprintln!(
                "bench: no extension pg_prewarm here, so each statement reads its pages itself"
            );
        }
        Ok(Self {
            cluster,
            admin,
            // Before PostgreSQL 15, copying file by file was the only strategy.
            create_option: if row.get(1) { "strategy file_copy" } else { "" },
            has_prewarm,
        })
    }

    /// Creates a database to copy from, and fills it.
    pub(crate) fn create_template(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut Client) -> Result<()>,
    ) -> Result<()> {
        let mut client = self.cluster.create_database(name)?;
        if self.has_prewarm {
            client.batch_execute("create extension pg_prewarm")?;
        }
        fill(&mut client).with_context(|| format!("cannot fill {name}"))?;
        // Sets the visibility map and hint bits, so that no measured statement has to.
        client.batch_execute("vacuum (freeze)")?;
        Ok(())
    }

    /// A session in a template itself, for measurements that leave no trace.
    pub(crate) fn connect(&self, name: &str) -> Result<Client> {
        self.cluster.connect(name)
    }

    /// Whether the files of an extension are installed.
    pub(crate) fn offers(&mut self, extension: &str) -> Result<bool> {
        let query = "select exists (select from pg_available_extensions where name = $1)";
        Ok(self.admin.query_one(query, &[&extension])?.get(0))
    }

    pub(crate) fn drop_database(&mut self, name: &str) -> Result<()> {
        self.admin
            .batch_execute(&format!("drop database if exists {name} with (force)"))
            .with_context(|| format!("cannot drop database {name}"))
    }

    /// Copies a template, runs `work` on the copy, and drops it.
    pub(crate) fn with_copy<R>(
        &mut self,
        template: &str,
        work: impl FnOnce(&mut Copy) -> Result<R>,
    ) -> Result<R> {
        let option = self.create_option;
        self.admin
            .batch_execute(&format!(
                "create database {COPY} template {template} {option}"
            ))
            .with_context(|| format!("cannot copy {template}"))?;
        let mut client = self.cluster.connect(COPY)?;
        client.batch_execute(RELEASE)?;
        let mut copy = Copy {
            cluster: &self.cluster,
            client,
            has_prewarm: self.has_prewarm,
        };
        let result = work(&mut copy);
        drop(copy);
        self.drop_database(COPY)?;
        result
    }
}

/// A copy of a template, and a session in it.
pub(crate) struct Copy<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) client: Client,
    has_prewarm: bool,
}

impl Copy<'_> {
    pub(crate) fn database(&self) -> &'static str {
        COPY
    }

    /// Reads everything into the buffers and writes a checkpoint: the copy is then ready to be measured.
    pub(crate) fn settle(&mut self) -> Result<()> {
        if self.has_prewarm {
            self.client.batch_execute(
                "select pg_prewarm(oid) from pg_class \
                 where relkind in ('r', 'i') and relnamespace = 'public'::regnamespace",
            )?;
        }
        self.client.batch_execute("checkpoint")?;
        Ok(())
    }

    /// How many bytes of WAL the server has written so far.
    pub(crate) fn wal_bytes(&mut self) -> Result<f64> {
        let query = "select (pg_current_wal_insert_lsn() - '0/0')::double precision";
        Ok(self.client.query_one(query, &[])?.get(0))
    }
}
