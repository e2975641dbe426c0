//! Ways to fill the accounts, and their cost.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::server::{Copy, Server};
use crate::workflows::TEMPLATE;

const CORRELATED: &str = "
update duo_workflows_workflows w set service_account_id = (
  select c.service_account_id from ai_catalog_item_consumers c
   where c.service_account_id is not null
     and c.ai_catalog_item_id = coalesce(
           (select v.ai_catalog_item_id from ai_catalog_item_versions v where v.id = w.ai_catalog_item_version_id),
           (select i.id from ai_catalog_items i where i.foundational_flow_reference = w.workflow_definition limit 1))
     and c.group_id = (
           select n.traversal_ids[1] from namespaces n
            where n.id = case when w.project_id is not null then (select p.namespace_id from projects p where p.id = w.project_id)
                              else w.namespace_id end)
   limit 1)
 where w.id between $1 and $2 and w.service_account_id is null";

const BARE: &str = "update duo_workflows_workflows w set service_account_id = w.user_id where w.id between $1 and $2 and w.status = 1";

/// A way to fill the accounts of all workflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contender {
    /// The application's correlated update, one transaction per sub-batch.
    Correlated,
    /// Only the writes: the rows that have an account, which is already known.
    Bare,
    /// The engine, with this many workers.
    Engine(i32),
}

impl Contender {
    pub(super) fn name(self) -> String {
        match self {
            Self::Correlated => "correlated".to_owned(),
            Self::Bare => "bare update".to_owned(),
            Self::Engine(1) => "lockstep, 1 worker".to_owned(),
            Self::Engine(workers) => format!("lockstep, {workers} workers"),
        }
    }
}

/// How rows are divided into sub-batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A fixed number of rows.
    Rows(i64),
    /// The engine's own choice, with its defaults.
    Adaptive,
}

/// One measurement.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) milliseconds: f64,
    pub(super) wal_bytes: f64,
    /// Row versions beyond those that hold a new account.
    pub(super) needless_versions: f64,
    /// The longest sub-batch; engine only.
    pub(super) longest_ms: f64,
    /// A worker's private memory at the end, minus that of an idle session; engine only.
    pub(super) worker_kilobytes: f64,
}

pub(super) fn measure(
    server: &mut Server,
    contender: Contender,
    cut: Cut,
    rows: i64,
) -> Result<Sample> {
    server.with_copy(TEMPLATE, |copy| {
        copy.settle()?;
        let before = copy.wal_bytes()?;
        let mut sample = match (contender, cut) {
            (Contender::Correlated, Cut::Rows(sub_batch)) => drive(copy, CORRELATED, rows, sub_batch)?,
            (Contender::Bare, Cut::Rows(sub_batch)) => drive(copy, BARE, rows, sub_batch)?,
            (Contender::Engine(workers), cut) => run_engine(copy, workers, cut)?,
            (_, Cut::Adaptive) => anyhow::bail!("only the engine adapts its size"),
        };
        sample.wal_bytes = copy.wal_bytes()? - before;
        let wrong = "select count(*) from duo_workflows_workflows
                     where service_account_id is distinct from case when status = 1 then user_id end";
        let wrong: i64 = copy.client.query_one(wrong, &[])?.get(0);
        ensure!(wrong == 0, "{wrong} rows are wrong");
        sample.needless_versions = needless_versions(&mut copy.client)?;
        Ok(sample)
    })
}

/// Rows without an account that were written anyway, counted by the server.
fn needless_versions(client: &mut Client) -> Result<f64> {
    let query = "
        select pg_stat_get_tuples_updated('duo_workflows_workflows'::regclass)::double precision
               - (select count(service_account_id) from duo_workflows_workflows)";
    // Sessions report their counts when they end, or after a second.
    client.batch_execute("select pg_sleep(1.1)")?;
    client.batch_execute("select pg_stat_clear_snapshot()")?;
    Ok(client.query_one(query, &[])?.get(0))
}

fn drive(copy: &mut Copy, statement: &str, rows: i64, sub_batch: i64) -> Result<Sample> {
    let prepared = copy.client.prepare(statement)?;
    let start = Instant::now();
    for first in (1..=rows).step_by(usize::try_from(sub_batch)?) {
        copy.client
            .execute(&prepared, &[&first, &(first + sub_batch - 1)])?;
    }
    Ok(Sample {
        milliseconds: start.elapsed().as_secs_f64() * 1_000.0,
        ..Sample::default()
    })
}

fn run_engine(copy: &mut Copy, workers: i32, cut: Cut) -> Result<Sample> {
    let settings = match cut {
        Cut::Rows(rows) => {
            format!(r#"{{"target_ms": 0, "sub_batch_size": {rows}, "hold_for_vacuum": false}}"#)
        }
        Cut::Adaptive => "{}".to_owned(),
    };
    let start = "select lockstep.start_backfill('service_accounts', workers => $1, settings => $2::text::jsonb)";
    let idle = private_kilobytes(
        copy.client
            .query_one("select pg_backend_pid()", &[])?
            .get(0),
    );
    let run: i64 = copy.client.query_one(start, &[&workers, &settings])?.get(0);
    let progress = "select status, pids, longest_ms::double precision, extract(epoch from finished_at - started_at)::double precision
                    from lockstep.backfill_progress where run = $1";
    let progress = copy.client.prepare(progress)?;
    let mut most: f64 = 0.0;
    loop {
        thread::sleep(Duration::from_millis(250));
        let row = copy.client.query_one(&progress, &[&run])?;
        let pids: Vec<i32> = row.get(1);
        for pid in pids {
            most = most.max(private_kilobytes(pid));
        }
        match row.get::<_, &str>(0) {
            "running" => {}
            "finished" => {
                return Ok(Sample {
                    milliseconds: row.get::<_, f64>(3) * 1_000.0,
                    longest_ms: row.get(2),
                    worker_kilobytes: most - idle,
                    ..Sample::default()
                });
            }
            status => anyhow::bail!("the run is {status}"),
        }
    }
}

/// The private memory of this process, as Linux counts it; 0 elsewhere, or if the process is gone.
fn private_kilobytes(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).unwrap_or(0.0)
}
