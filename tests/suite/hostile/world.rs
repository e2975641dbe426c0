//! A database with tables of a malicious owner, and sessions in it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use anyhow::{Context, Result, anyhow};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::{Client, Config, NoTls};

use super::things::Thing;

/// Runs of mallory's jobs, 1 and 2, that others can resume.
const RUNS: [&str; 4] = [
    r#"select lockstep_internal.open_backfill('paused', settings => '{"hold_function": "mallory.hold", "hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.pause_backfill(1)",
    r#"select lockstep_internal.open_backfill('failed', settings => '{"hold_function": "mallory.hold", "hold_ms": 100, "max_set_aside": 1}')"#,
    "select lockstep.pause_backfill(2)",
];

/// Its own cluster: what happens here may crash a server. No workers except lockstep's.
pub(super) fn cluster() -> Result<&'static Cluster> {
    static CLUSTER: OnceLock<Result<Cluster>> = OnceLock::new();
    CLUSTER
        .get_or_init(|| {
            Cluster::start(
                "hostile",
                &[("max_worker_processes", "16"), ("autovacuum", "off")],
            )
        })
        .as_ref()
        .map_err(|error| anyhow!("{error:#}"))
}

fn roles() -> Result<()> {
    static ROLES: OnceLock<Result<()>> = OnceLock::new();
    let create = || -> Result<()> {
        Ok(cluster()?.connect("postgres")?.batch_execute(
            "create role hostile_mallory login; create role hostile_alice; create role hostile_other login; create role hostile_sidecar login; create role hostile_chatops login",
        )?)
    };
    match ROLES.get_or_init(create) {
        Ok(()) => Ok(()),
        Err(error) => Err(anyhow!("{error:#}")),
    }
}

/// A session, and evil()'s warnings to it since they were last read.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) warnings: Arc<Mutex<Vec<String>>>,
}

impl Session {
    pub(super) fn begin(database: &str, role: &str) -> Result<Self> {
        let warnings = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&warnings);
        let mut config: Config = cluster()?.config(database);
        config
            .user(role)
            .options("-c hostile.client=yes -c statement_timeout=30s")
            .notice_callback(move |notice| {
                if notice.message().starts_with("evil: ")
                    && let Ok(mut heard) = heard.lock()
                {
                    heard.push(notice.message().to_owned());
                }
            });
        let client = config
            .connect(NoTls)
            .with_context(|| format!("{role} cannot connect to {database}"))?;
        Ok(Self { client, warnings })
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings
            .lock()
            .map(|mut heard| std::mem::take(&mut *heard))
            .unwrap_or_default()
    }
}

/// A database with mallory's tables, in which something is planted.
pub(super) struct World {
    pub(super) name: String,
    pub(super) admin: Session,
    pub(super) leaks: BTreeSet<String>,
    /// The entry points by which it ran as its owner: what is never reached proves nothing.
    pub(super) reached: BTreeSet<String>,
    pub(super) failed: Vec<String>,
}

impl World {
    pub(super) fn with(name: &str, thing: &Thing) -> Result<Self> {
        roles()?;
        let name = format!("hostile_{name}");
        cluster()?
            .connect("postgres")?
            .batch_execute(&format!("create database \"{name}\""))?;
        let mut admin = Session::begin(&name, "postgres")?;
        admin.client.batch_execute(&format!(
            "create extension lockstep_slack cascade; create schema mallory authorization hostile_mallory;
             grant create on database {name} to hostile_mallory; grant lockstep_sidecar to hostile_sidecar; grant lockstep_chatops to hostile_chatops;
             grant execute on all functions in schema lockstep to hostile_other, hostile_mallory"
        ))?;
        let mut mallory = Session::begin(&name, "hostile_mallory")?;
        mallory.client.batch_execute("set search_path = mallory")?;
        host::create(&mut mallory.client, Layout::Narrow)?;
        host::run(&mut mallory.client, host::MEMBERS)?;
        host::run(&mut mallory.client, host::DEPLOYMENTS)?;
        mallory.client.batch_execute("set search_path = public")?;
        mallory
            .client
            .batch_execute("select * from lockstep.attach('mallory'); select * from lockstep.attach_slack('mallory')")?;
        for (script, path) in [
            (include_str!("rows.sql"), "mallory"),
            (include_str!("evil.sql"), "public"),
            (include_str!("plant.sql"), "public"),
        ] {
            mallory
                .client
                .batch_execute(&format!("set search_path = {path}"))?;
            mallory.client.batch_execute(script)?;
        }
        for statement in RUNS {
            mallory.client.batch_execute(statement)?;
        }
        admin.client.batch_execute(include_str!("seed.sql"))?;
        admin
            .client
            .batch_execute(thing.granted)
            .with_context(|| format!("{} cannot be granted", thing.name))?;
        let mut mallory = Session::begin(&name, "hostile_mallory")?;
        mallory
            .client
            .batch_execute(thing.planted)
            .with_context(|| format!("{} cannot be planted", thing.name))?;
        admin
            .client
            .batch_execute(thing.arranged)
            .with_context(|| format!("{} cannot be arranged", thing.name))?;
        admin.client.batch_execute(
            "grant all on all tables in schema mallory to hostile_other, lockstep_chatops;
             grant execute on all functions in schema mallory to public",
        )?;
        let mut world = Self {
            name,
            admin,
            leaks: BTreeSet::new(),
            reached: BTreeSet::new(),
            failed: Vec::new(),
        };
        // Planted code ran while it was planted.
        world.admin.warnings();
        world.count()?;
        Ok(world)
    }

    /// How often something ran as the owner, and as another user, since the last time.
    pub(super) fn count(&mut self) -> Result<(i64, i64)> {
        let row = self.admin.client.query_one(
            "select case when a.is_called then a.last_value else 0 end, case when b.is_called then b.last_value else 0 end
                    operator(pg_catalog.+) case when c.is_called then c.last_value else 0 end
               from mallory.as_owner a, mallory.as_another b, mallory.as_another_session c",
            &[],
        )?;
        let counts = (row.get(0), row.get(1));
        if counts != (0, 0) {
            self.admin.client.batch_execute(
                "select pg_catalog.setval('mallory.as_owner', 1, false), pg_catalog.setval('mallory.as_another', 1, false),
                        pg_catalog.setval('mallory.as_another_session', 1, false)",
            )?;
        }
        Ok(counts)
    }
}

pub(super) fn said(error: &postgres::Error) -> String {
    error.as_db_error().map_or_else(
        || error.to_string(),
        |error| format!("{} {}", error.code().code(), error.message()),
    )
}
