//! kill -9 of a worker and of the postmaster, and a fast shutdown, at random times during one run: no row is skipped or processed
//! twice, and the counts match the rows.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::backfill::{finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::PATIENCE;
use crate::crash::{kill_backend, wait_until_lost};
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::{CATALOG, number};

const MOMENTS: usize = 50;

/// Sub-batches that take some milliseconds each, most of them within the transaction: see `LINGER`.
const SETTINGS: &str =
    r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 2, "range_size": 400}"#;

/// Makes the run last long enough for all kills, and makes them hit it at work rather than between two sub-batches.
const LINGER: &str = "
create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(0.0003); return new; end$$;
create trigger linger before update on TABLE for each row execute function linger()";

const DATABASE: &str = "backfill_crash";

fn connect(cluster: &Cluster) -> Result<Client> {
    let begun = Instant::now();
    loop {
        match cluster.connect(DATABASE) {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > PATIENCE => bail!("no recovery: {error:#}"),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

/// Kills at random times while the run is active; returns a live session.
fn kill_again_and_again(cluster: &mut Cluster, run: i64, table: &str) -> Result<Client> {
    let seed = seed()?;
    // Bypasses the capture of test output: the seed is needed even if the run hangs.
    writeln!(stderr(), "backfill_crash: LOCKSTEP_SEED={seed}")?;
    let mut dice = Dice::new(seed, 0);
    let mut client = connect(cluster)?;
    for moment in 0..MOMENTS {
        let before: i64 = progress(&mut client, run, "scanned")?.parse()?;
        // It still works after the last kill.
        wait_until(&mut client, run, &format!("scanned > {before}"))?;
        sleep(Duration::from_micros(dice.below(30_000)));
        ensure!(
            progress(&mut client, run, "status")? == "running",
            "over after {moment} moments"
        );
        match dice.below(3) {
            0 => {
                let pid = progress(
                    &mut client,
                    run,
                    "pids[1 + floor(random() * cardinality(pids))::integer]",
                )?;
                kill_backend(pid.parse()?)?;
                wait_until_lost(&mut client)?;
                // PostgreSQL restarts the workers by itself.
                client = connect(cluster)?;
                continue;
            }
            1 => cluster.kill_postmaster()?,
            _ => cluster.stop()?,
        }
        cluster.resume()?;
        client = connect(cluster)?;
        client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
    }
    // The rest at full speed.
    client.batch_execute(&format!("drop trigger linger on {table}"))?;
    let rest = r#"{"pause_ms": 0, "target_ms": 100}"#;
    client.batch_execute(&format!("select lockstep.alter_backfill({run}, '{rest}')"))?;
    Ok(client)
}

#[test]
fn each_row_is_done_once() -> Result<()> {
    let rows = 200_000;
    let mut cluster = Cluster::start("backfill_crash", &[])?;
    let mut client = cluster.create_database(DATABASE)?;
    lay_out(&mut client, rows)?;
    client.batch_execute(&LINGER.replace("TABLE", "counted"))?;
    let run = start(&mut client, "count", 2, SETTINGS)?;
    let mut client = kill_again_and_again(&mut cluster, run, "counted")?;
    finish(&mut client, run, rows)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, rows)]));
    assert_eq!(progress(&mut client, run, "updated")?, rows.to_string());
    Ok(())
}

/// An orphan would continue without pauses, and prevent a new postmaster from starting.
#[test]
fn worker_does_not_outlive_the_postmaster() -> Result<()> {
    // More than fits into the WAL buffers, which die with the server: an orphan's work must be visible.
    let rows = 200_000;
    let mut cluster = Cluster::start("backfill_orphan", &[])?;
    let mut client = cluster.create_database(DATABASE)?;
    lay_out(&mut client, rows)?;
    let settings =
        r#"{"sub_batch_size": 300, "target_ms": 0, "pause_ms": 200, "range_size": 20000}"#;
    let run = start(&mut client, "count", 1, settings)?;
    wait_until(&mut client, run, "scanned > 0")?;
    cluster.kill_postmaster()?;
    // Enough for an orphan to process most rows.
    sleep(Duration::from_secs(3));
    cluster.resume()?;
    let mut client = connect(&cluster)?;
    let scanned: i64 = progress(&mut client, run, "scanned")?.parse()?;
    ensure!(scanned < 20_000, "{scanned} rows without a postmaster");
    Ok(())
}

#[test]
fn service_accounts_are_all_filled_and_counted() -> Result<()> {
    let mut cluster = Cluster::start("backfill_accounts", &[])?;
    let mut client = cluster.create_database(DATABASE)?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(CATALOG)?;
    client.batch_execute(
        "insert into duo_workflows_workflows (id, user_id, ai_catalog_item_version_id, workflow_definition, project_id, namespace_id)
           select r * 100 + e.id, 1, e.version, e.definition, e.project, e.namespace from expected e, generate_series(0, 9999) r;
         analyze duo_workflows_workflows",
    )?;
    client.batch_execute(&LINGER.replace("TABLE", "duo_workflows_workflows"))?;
    let run = start(&mut client, "service_accounts", 2, SETTINGS)?;
    let mut client = kill_again_and_again(&mut cluster, run, "duo_workflows_workflows")?;
    finish(&mut client, run, 160_000)?;
    let wrong =
        "select count(*) from duo_workflows_workflows w join expected e on e.id = w.id % 100
                 where w.service_account_id is distinct from e.account";
    assert_eq!(number(&mut client, wrong)?, 0);
    let right = "
        select count(*) from lockstep.backfill_progress p
        where p.updated = 10000 * (select count(account) from expected)
          and p.unresolved = (select jsonb_object_agg(e.ended, e.rows) from (
                select ended, 10000 * count(*) as rows from expected where account is null group by ended) e)";
    assert_eq!(
        number(&mut client, right)?,
        1,
        "{}",
        progress(&mut client, run, "unresolved")?
    );
    Ok(())
}
