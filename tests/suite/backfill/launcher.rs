//! Where the library is preloaded, runs that have lost their workers go on without a sidecar, and the launcher is in nobody's way.

use std::fs;
use std::thread::{sleep, spawn};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::root;
use postgres::Client;
use postgres::error::SqlState;

use crate::backfill::lost::{AN_HOUR, TERMINATE, connect};
use crate::backfill::{SLOW, finish, lay_out, progress, start, wait_until};
use crate::concurrency::PATIENCE;
use crate::service_account::number;

const PRELOADED: [(&str, &str); 2] = [
    ("shared_preload_libraries", "lockstep"),
    ("max_worker_processes", "20"),
];

/// The worker that was terminated, which may not have gone yet.
fn lose(client: &mut Client, run: i64) -> Result<String> {
    wait_until(client, run, "scanned >= 10 and cardinality(pids) = 1")?;
    let worker = progress(client, run, "pids")?;
    number(client, TERMINATE)?;
    Ok(worker)
}

/// Nobody else resumes the run.
fn is_resumed(client: &mut Client, run: i64, lost: &str) -> Result<()> {
    let has_another = format!("cardinality(pids) = 1 and pids <> '{lost}'");
    wait_until(client, run, &has_another)
}

#[test]
fn a_run_goes_on_after_the_postmaster_was_killed() -> Result<()> {
    let mut cluster = Cluster::start("backfill_launcher_killed", &PRELOADED)?;
    let mut postgres = cluster.connect("postgres")?;
    postgres.batch_execute("create database closed allow_connections false")?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client, 3_000)?;
    let run = start(&mut client, "count", 2, SLOW)?;
    wait_until(&mut client, run, "scanned > 0 and cardinality(pids) = 2")?;
    cluster.kill_postmaster()?;
    cluster.resume()?;
    let mut client = connect(&cluster)?;
    wait_until(&mut client, run, "cardinality(pids) = 2")?;
    client.batch_execute(&format!(
        r#"select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    finish(&mut client, run, 3_000)?;
    let twice = "select count(*) from counted where n <> 1";
    assert_eq!(number(&mut client, twice)?, 0);
    // It does not try databases that take no connections.
    let log = fs::read_to_string(cluster.log())?;
    ensure!(
        !log.contains("not currently accepting connections"),
        "{log}"
    );
    Ok(())
}

#[test]
fn a_database_that_was_looked_into_can_be_dropped_and_copied_at_once() -> Result<()> {
    let cluster = Cluster::start("backfill_launcher_dropped", &PRELOADED)?;
    let mut postgres = cluster.connect("postgres")?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client, 1_000)?;
    let run = start(&mut client, "count", 1, AN_HOUR)?;
    let lost = lose(&mut client, run)?;
    is_resumed(&mut client, run, &lost)?;
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    drop(client);
    // The run's worker leaves by itself.
    let workers = "select count(*) from pg_stat_activity where datname = 'app' and backend_type = 'lockstep backfill'";
    let begun = Instant::now();
    while number(&mut postgres, workers)? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the worker stays");
        sleep(Duration::from_millis(10));
    }
    postgres.batch_execute("create database copy template app")?;
    postgres.batch_execute("drop database app")?;
    let own = "select count(*) from pg_stat_activity where backend_type = 'lockstep launcher' and datid is null";
    assert_eq!(number(&mut postgres, own)?, 1);
    Ok(())
}

#[test]
fn held_by_says_who_resumes_the_run() -> Result<()> {
    let cluster = Cluster::start("backfill_launcher_off", &PRELOADED)?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client, 1_000)?;
    client.batch_execute("alter system set lockstep.resume_backfills = off")?;
    client.batch_execute("select pg_reload_conf()")?;
    let run = start(&mut client, "count", 1, AN_HOUR)?;
    let lost = lose(&mut client, run)?;
    wait_until(&mut client, run, "held_by like '%a sidecar or pg_cron%'")?;
    client.batch_execute("alter system set lockstep.resume_backfills = on")?;
    // Within this transaction nobody resumes it.
    client.batch_execute(&format!(
        "begin; select from lockstep_internal.backfill_run where id = {run} for update"
    ))?;
    number(&mut client, "select count(*) from pg_reload_conf()")?;
    wait_until(&mut client, run, "held_by like '%the launcher%'")?;
    client.batch_execute("commit")?;
    is_resumed(&mut client, run, &lost)
}

/// Its own commit would wait for that standby for good, and the launcher for it.
#[test]
fn a_synchronous_standby_that_is_gone_keeps_no_run_from_it() -> Result<()> {
    let cluster = Cluster::start("backfill_launcher_alone", &PRELOADED)?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client, 1_000)?;
    let run = start(&mut client, "count", 1, AN_HOUR)?;
    client.batch_execute("set synchronous_commit = local")?;
    client.batch_execute("alter system set synchronous_standby_names = 'gone'")?;
    client.batch_execute("select pg_reload_conf()")?;
    // The server waits as soon as somebody's commit does.
    let mut other = cluster.connect("app")?;
    let waiting = spawn(move || {
        while other
            .batch_execute("select pg_logical_emit_message(true, 'test', 'a commit')")
            .is_ok()
        {}
    });
    let waits = "select count(*) from pg_stat_activity where wait_event = 'SyncRep' and backend_type = 'client backend'";
    let begun = Instant::now();
    while number(&mut client, waits)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no commit waits");
        sleep(Duration::from_millis(10));
    }
    let lost = lose(&mut client, run)?;
    is_resumed(&mut client, run, &lost)?;
    drop(cluster);
    ensure!(waiting.join().is_ok(), "the session panicked");
    Ok(())
}

/// Where the extension is not, nobody is disturbed each time.
#[test]
fn a_database_without_the_extension_is_left_alone() -> Result<()> {
    let settings = [&PRELOADED[..], &[("autovacuum", "off")]].concat();
    let cluster = Cluster::start("backfill_launcher_without", &settings)?;
    let mut postgres = cluster.connect("postgres")?;
    postgres.batch_execute("create database without")?;
    let looks = "select xact_commit from pg_stat_database where datname = 'without'";
    let begun = Instant::now();
    while number(&mut postgres, looks)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "nobody looks");
        sleep(Duration::from_millis(10));
    }
    // This one it has seen without the extension.
    let mut client = cluster.create_database("app")?;
    let mut before = Vec::new();
    lay_out(&mut client, 1_000)?;
    let run = start(&mut client, "count", 1, AN_HOUR)?;
    // Between two of its looks into one database it looks into the others.
    for _ in 0..3 {
        let lost = lose(&mut client, run)?;
        is_resumed(&mut client, run, &lost)?;
        before.push(number(&mut postgres, looks)?);
    }
    assert_eq!(before[0], before[2], "{before:?}");
    Ok(())
}

/// The page of settings has what the library defines, with its default.
#[test]
fn its_setting_is_described() -> Result<()> {
    let cluster = Cluster::start("backfill_launcher_setting", &PRELOADED)?;
    let mut client = cluster.connect("postgres")?;
    // Before 15 PostgreSQL notices a typing error in its configuration alone.
    if number(
        &mut client,
        "select current_setting('server_version_num')::bigint",
    )? >= 150_000
    {
        let typo = client.batch_execute("set lockstep.resume_backfils = off");
        let code = typo.err().and_then(|error| error.code().cloned());
        assert_eq!(code, Some(SqlState::INVALID_NAME));
    }
    let page = fs::read_to_string(root().join("docs/reference/settings.md"))?;
    let settings = "select name, boot_val from pg_settings where name ~ '^lockstep'";
    let rows = client.query(settings, &[])?;
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            format!(
                "| `{}` | {} |",
                row.get::<_, &str>(0),
                row.get::<_, &str>(1)
            )
        })
        .collect();
    assert_eq!(lines.len(), 1);
    for line in lines {
        ensure!(page.contains(&line), "the page lacks {line}");
    }
    Ok(())
}

/// What is in the library may not fit the tables of another version.
#[test]
fn another_version_of_the_extension_is_left_alone() -> Result<()> {
    let cluster = Cluster::start("backfill_launcher_version", &PRELOADED)?;
    let mut other = cluster.create_database("other")?;
    let mut client = cluster.create_database("app")?;
    let mut runs = Vec::new();
    for client in [&mut other, &mut client] {
        lay_out(client, 1_000)?;
        runs.push(start(client, "count", 1, AN_HOUR)?);
    }
    let version = "update pg_extension set extversion = '0.1.0' where extname = 'lockstep'";
    other.batch_execute(version)?;
    lose(&mut other, runs[0])?;
    // Between two of its looks into one database it looks into the other one.
    for _ in 0..2 {
        let lost = lose(&mut client, runs[1])?;
        is_resumed(&mut client, runs[1], &lost)?;
    }
    assert_eq!(progress(&mut other, runs[0], "pids")?, "{}");
    let held_by = progress(&mut other, runs[0], "held_by")?;
    ensure!(!held_by.contains("launcher"), "{held_by}");
    Ok(())
}
