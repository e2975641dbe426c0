//! On servers with Citus: what it distributes by schema is kept, what it distributes otherwise is skipped with a reason, and a worker
//! gives no answer rather than a wrong one.

mod forged;
mod local;
mod moved;
mod tenant;
mod torn;

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use lockstep_tests::cluster::{Cluster, PORT};
use lockstep_tests::host::{self, Layout};
use postgres::Client;
use postgres::error::SqlState;

use crate::database::cluster;

const SETTINGS: [(&str, &str); 3] = [
    ("shared_preload_libraries", "citus"),
    ("citus.node_conninfo", "sslmode=disable"),
    ("max_worker_processes", "20"),
];

struct Citus {
    name: String,
    coordinator: Client,
    workers: Vec<Client>,
    clusters: Vec<Cluster>,
}

/// A coordinator with the application's tables and both extensions, and workers; None if the server comes without Citus.
fn start(name: &str, workers: usize) -> Result<Option<Citus>> {
    if !cluster()?.has_module("citus") {
        return Ok(None);
    }
    let (first, coordinator) = start_node(&format!("{name}_coordinator"))?;
    let mut citus = Citus {
        name: name.to_owned(),
        coordinator,
        workers: Vec::new(),
        clusters: vec![first],
    };
    let here = citus.clusters[0].socket();
    citus.coordinator.batch_execute(&format!(
        "set client_min_messages = warning;
         do $$begin perform citus_set_coordinator_host('{}', {PORT}); end$$",
        here.display()
    ))?;
    for _ in 0..workers {
        citus.add_worker()?;
    }
    citus
        .coordinator
        .batch_execute("create role gitlab login")?;
    host::create(&mut citus.coordinator, Layout::Narrow)?;
    citus
        .coordinator
        .batch_execute("create extension lockstep_slack cascade")?;
    Ok(Some(citus))
}

fn start_node(name: &str) -> Result<(Cluster, Client)> {
    let cluster = Cluster::start(name, &SETTINGS)?;
    let mut client = cluster.create_database("app")?;
    client.batch_execute("create extension citus")?;
    // Where the server finds itself, as it does during a move.
    let socket = cluster.socket();
    run_each(
        &mut client,
        &[
            &format!(
                "alter system set citus.local_hostname = '{}'",
                socket.display()
            ),
            "select pg_reload_conf()",
        ],
    )?;
    wait_until(
        &mut client,
        &format!(
            "select current_setting('citus.local_hostname') = '{}'",
            socket.display()
        ),
    )?;
    Ok((cluster, client))
}

impl Citus {
    fn add_worker(&mut self) -> Result<()> {
        let number = self.workers.len() + 1;
        let (cluster, client) = start_node(&format!("{}_worker_{number}", self.name))?;
        let socket = cluster.socket();
        self.coordinator.batch_execute(&format!(
            "do $$begin perform citus_add_node('{}', {PORT}); end$$",
            socket.display()
        ))?;
        self.workers.push(client);
        self.clusters.push(cluster);
        Ok(())
    }

    /// A session of the application: on the coordinator, or on the worker with that number.
    fn session(&self, node: usize) -> Result<Client> {
        let mut client = self.clusters[node].connect("app")?;
        client.batch_execute("set role gitlab")?;
        Ok(client)
    }

    /// A schema that Citus distributes, with the application's tables, 20 projects, and cache columns that nothing has kept yet.
    fn create_tenant(&mut self, schema: &str) -> Result<()> {
        let client = &mut self.coordinator;
        client.batch_execute(&format!(
            "create schema {schema} authorization gitlab; set role gitlab; set search_path = {schema}"
        ))?;
        host::create(client, Layout::Narrow)?;
        client.batch_execute(
            "insert into projects (id, namespace_id) select n, 1 from generate_series(1, 20) n;
             reset role; set search_path = public",
        )?;
        client.batch_execute(&format!(
            "do $$begin perform citus_schema_distribute('{schema}'); end$$"
        ))?;
        Ok(())
    }

    /// The same, attached and repaired.
    fn attach_tenant(&mut self, schema: &str) -> Result<()> {
        self.create_tenant(schema)?;
        let answers = answers(
            &mut self.coordinator,
            &format!("lockstep.attach('{schema}')"),
        )?;
        ensure!(
            answers
                .iter()
                .filter(|it| it.contains(": attached, maintained"))
                .count()
                == 2,
            "{answers:?}"
        );
        for column in ["has_external_wiki", "has_external_issue_tracker"] {
            let repair =
                format!("select lockstep.repair_cache_column('{schema}.projects', '{column}')");
            ensure!(self.coordinator.query_one(&repair, &[])?.get::<_, i64>(0) == 20);
        }
        self.check(schema, "repair")?;
        Ok(())
    }

    fn move_tenant(&mut self, schema: &str, node: usize, mode: &str) -> Result<()> {
        let socket = self.clusters[node].socket();
        let statement = format!(
            "do $$begin perform citus_schema_move('{schema}', '{}', {PORT}, '{mode}'); end$$",
            socket.display()
        );
        self.coordinator
            .batch_execute(&statement)
            .with_context(|| format!("{schema} to {}", socket.display()))
    }

    /// The number of the node where the tenant's shards are.
    fn node_of(&mut self, schema: &str) -> Result<usize> {
        let row = self.coordinator.query_one(
            "select distinct nodename from citus_shards where table_name = ($1::text || '.projects')::regclass",
            &[&schema],
        )?;
        let name: String = row.get(0);
        let found = (0..self.clusters.len())
            .find(|node| self.clusters[*node].socket().display().to_string() == name);
        found.context("an unknown node")
    }

    /// Fails if a cache column of the tenant is wrong, or anything is wrong with the columns; returns how many are true.
    fn check(&mut self, schema: &str, after: &str) -> Result<i64> {
        let row = self.coordinator.query_one(
            &format!(
                "select count(*) filter (where p.has_external_wiki is distinct from w.found or p.has_external_issue_tracker is distinct from t.found),
                        count(*) filter (where w.found) + count(*) filter (where t.found)
                   from {schema}.projects p
                  cross join lateral (select exists (
                    select from {schema}.integrations i
                     where i.project_id = p.id and i.active and i.type_new = 'Integrations::ExternalWiki') as found) w
                  cross join lateral (select exists (
                    select from {schema}.integrations i
                     where i.project_id = p.id and i.active and i.category = 'issue_tracker') as found) t"
            ),
            &[],
        )?;
        let wrong: i64 = row.get(0);
        ensure!(wrong == 0, "{wrong} rows are wrong after {after}");
        Ok(row.get(1))
    }

    fn states(&mut self) -> Result<Vec<String>> {
        let rows = self
            .coordinator
            .query("select state from lockstep.cache_columns order by id", &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// The triggers of lockstep on shards of this node.
fn triggers_on_shards(client: &mut Client) -> Result<Vec<String>> {
    client.batch_execute("set citus.override_table_visibility = off")?;
    let rows = client.query(
        "select g.tgname::text from pg_trigger g
          where g.tgname ~ '^(lockstep_|truncated_by_lockstep)' and g.tgrelid::regclass::text ~ '_[0-9]+$' order by 1",
        &[],
    )?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Runs statements one by one: Citus sends the text of a command on a distributed table to other nodes, all of it.
fn run_each(client: &mut Client, statements: &[&str]) -> Result<()> {
    statements.iter().try_for_each(|statement| {
        client
            .batch_execute(statement)
            .with_context(|| (*statement).to_owned())
    })
}

/// Waits until a query returns true, but not for ever.
fn wait_until(client: &mut Client, query: &str) -> Result<()> {
    for _ in 0..12_000 {
        if client.query_one(query, &[])?.get::<_, bool>(0) {
            return Ok(());
        }
        sleep(Duration::from_millis(10));
    }
    bail!("never true: {query}")
}

fn answers(client: &mut Client, call: &str) -> Result<Vec<String>> {
    let query =
        format!("select feature || ': ' || status || ', ' || detail from {call} order by 1");
    let rows = client.query(&query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The error of a statement: its code and message.
fn refused(client: &mut Client, statement: &str) -> Result<(SqlState, String)> {
    let error = client.batch_execute(statement).err();
    let error = error.with_context(|| format!("{statement} was taken"))?;
    let error = error.as_db_error().context("not an error of the server")?;
    Ok((error.code().clone(), error.message().to_owned()))
}
