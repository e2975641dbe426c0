//! Runs that have lost all workers go on by themselves, whatever ended them, once and by whoever looks first.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lockstep_tests::cluster::{Cluster, PORT, SUPERUSER};
use lockstep_tests::host::{self, Layout};
use lockstep_tests::slack::{App, FakeSlack};
use lockstep_tests::standby::Standby;
use postgres::Client;

use crate::backfill::{
    SLOW, counted, finish, lay_out as lay_out_counted, progress, start, wait_until,
};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;
use crate::sidecar::work;
use crate::slack_app;

/// A sub-batch, and then a pause that no test waits for.
pub(super) const AN_HOUR: &str = r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 3600000}"#;

pub(super) const TERMINATE: &str = "
select count(pg_terminate_backend(pid)) from lockstep.backfill_progress, unnest(pids) pid where status = 'running'";

const RESUME: &str = "select lockstep.resume_lost_backfills()";

fn resumed(client: &mut Client) -> Result<Vec<i64>> {
    Ok(client.query_one(RESUME, &[])?.get(0))
}

/// A run whose workers have been terminated at work.
fn lost(client: &mut Client, workers: i32) -> Result<i64> {
    let run = start(client, "count", workers, AN_HOUR)?;
    let has_come = format!("scanned >= 10 and cardinality(pids) = {workers}");
    wait_until(client, run, &has_come)?;
    number(client, TERMINATE)?;
    wait_until(client, run, "pids = '{}'")?;
    Ok(run)
}

/// All tests share the server's places for workers.
fn give_back_workers(client: &mut Client) -> Result<()> {
    client.batch_execute("select lockstep.cancel_backfill(run) from lockstep.backfill_progress where status = 'running'")?;
    Ok(())
}

#[test]
fn whoever_looks_first_resumes_the_run_and_nobody_else() -> Result<()> {
    let name = "backfill_lost";
    let mut client = counted(name, 1_000)?;
    let run = lost(&mut client, 2)?;
    // Anybody may set what no library defines.
    client.batch_execute("set lockstep.resume_backfills = on")?;
    ensure!(
        progress(&mut client, run, "held_by")?.contains("a sidecar or pg_cron resumes the run")
    );
    let mut other = cluster()?.connect(name)?;
    client.batch_execute("begin")?;
    assert_eq!(resumed(&mut client)?, [run]);
    // It neither waits for the first nor resumes the run again.
    other.batch_execute("set lock_timeout = '1s'")?;
    assert_eq!(resumed(&mut other)?, [0; 0]);
    client.batch_execute("commit")?;
    assert_eq!(resumed(&mut other)?, [0; 0]);
    wait_until(&mut client, run, "cardinality(pids) = 2")?;
    assert_eq!(resumed(&mut other)?, [0; 0]);
    give_back_workers(&mut client)
}

#[test]
fn workers_that_do_not_come_are_asked_for_again() -> Result<()> {
    let mut client = counted("backfill_lost_again", 1_000)?;
    let run = lost(&mut client, 1)?;
    let asked = |ago: &str| {
        format!(
            "update lockstep_internal.backfill_run set workers_asked_at = clock_timestamp() - interval '{ago}'"
        )
    };
    client.batch_execute(&asked("0 seconds"))?;
    assert_eq!(resumed(&mut client)?, [0; 0]);
    // The clock of the server that asked for them was ahead.
    for ago in ["1 hour", "-1 hour"] {
        client.batch_execute(&asked(ago))?;
        ensure!(progress(&mut client, run, "held_by")?.starts_with("no worker"));
        assert_eq!(resumed(&mut client)?, [run], "{ago}");
        wait_until(&mut client, run, "cardinality(pids) = 1")?;
        number(&mut client, TERMINATE)?;
        wait_until(&mut client, run, "pids = '{}'")?;
    }
    give_back_workers(&mut client)
}

#[test]
fn fewer_workers_than_asked_for_are_better_than_none() -> Result<()> {
    // PostgreSQL has one of its own.
    let cluster = Cluster::start("backfill_lost_few", &[("max_worker_processes", "4")])?;
    let mut client = cluster.create_database("app")?;
    lay_out_counted(&mut client, 1_000)?;
    let run = start(&mut client, "count", 2, AN_HOUR)?;
    wait_until(&mut client, run, "scanned >= 10 and cardinality(pids) = 2")?;
    client.batch_execute(&format!(
        "select lockstep.alter_backfill({run}, workers => 4)"
    ))?;
    number(&mut client, TERMINATE)?;
    wait_until(&mut client, run, "pids = '{}'")?;
    assert_eq!(resumed(&mut client)?, [run]);
    let says = progress(&mut client, run, "last_error")?;
    ensure!(
        says.contains("of 4 background workers could be started"),
        "{says}"
    );
    wait_until(&mut client, run, "pids <> '{}'")
}

#[test]
fn a_run_that_cannot_be_resumed_keeps_no_other_from_it() -> Result<()> {
    let mut client = counted("backfill_lost_one", 1_000)?;
    client.batch_execute(
        "create table other as select id, 0 as n from generate_series(1, 1000) id;
         alter table other add primary key (id);
         analyze other;
         select lockstep.register_backfill_job('other', 'other', 'update other set n = n + 1 where {range}')",
    )?;
    let one = start(&mut client, "count", 1, AN_HOUR)?;
    let other = start(&mut client, "other", 1, AN_HOUR)?;
    for run in [one, other] {
        wait_until(&mut client, run, "scanned >= 10 and cardinality(pids) = 1")?;
    }
    number(&mut client, TERMINATE)?;
    for run in [one, other] {
        wait_until(&mut client, run, "pids = '{}'")?;
    }
    client.batch_execute(&format!(
        "create function refuse() returns trigger language plpgsql as $$begin raise 'refused by a test'; end$$;
         create trigger refuse before update of status on lockstep_internal.backfill_run
           for each row when (new.id = {one}) execute function refuse()"
    ))?;
    assert_eq!(resumed(&mut client)?, [other]);
    assert_eq!(
        progress(&mut client, one, "last_error")?,
        "refused by a test"
    );
    wait_until(&mut client, other, "cardinality(pids) = 1")?;
    // Not at once again.
    assert_eq!(resumed(&mut client)?, [0; 0]);
    client.batch_execute(
        "drop trigger refuse on lockstep_internal.backfill_run;
         update lockstep_internal.backfill_run set workers_asked_at = clock_timestamp() - interval '1 hour'",
    )?;
    assert_eq!(resumed(&mut client)?, [one]);
    give_back_workers(&mut client)
}

#[test]
fn runs_that_somebody_stopped_or_works_on_stay_as_they_are() -> Result<()> {
    let name = "backfill_not_lost";
    let mut client = counted(name, 1_000)?;
    let run = lost(&mut client, 1)?;
    client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    assert_eq!(resumed(&mut client)?, [0; 0]);
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    assert_eq!(resumed(&mut client)?, [0; 0]);
    // A call belongs to its session, which is gone here.
    let caller = std::thread::spawn({
        let mut calling = cluster()?.connect(name)?;
        move || {
            calling.batch_execute(&format!(
                "call lockstep.backfill('count', settings => '{AN_HOUR}')"
            ))
        }
    });
    let begun = Instant::now();
    while number(
        &mut client,
        "select coalesce(max(run), 0) from lockstep.backfill_progress",
    )? == run
    {
        ensure!(begun.elapsed() < PATIENCE, "it does not begin");
    }
    wait_until(
        &mut client,
        run + 1,
        "scanned >= 10 and cardinality(pids) = 1",
    )?;
    assert_eq!(resumed(&mut client)?, [0; 0]);
    number(&mut client, TERMINATE)?;
    ensure!(
        caller.join().is_ok_and(|called| called.is_err()),
        "it was not terminated"
    );
    wait_until(&mut client, run + 1, "pids = '{}'")?;
    assert_eq!(resumed(&mut client)?, [0; 0]);
    Ok(())
}

/// The original goes on; a copy would do the same rows in another database, which nobody asked for.
#[test]
fn runs_of_a_copy_are_held() -> Result<()> {
    let mut client = counted("backfill_lost_copied", 1_000)?;
    lost(&mut client, 1)?;
    drop(client);
    let mut postgres = cluster()?.connect("postgres")?;
    postgres.batch_execute("create database backfill_lost_copy template backfill_lost_copied")?;
    let mut copy = cluster()?.connect("backfill_lost_copy")?;
    let held_by: String = copy
        .query_one("select held_by from lockstep.backfill_progress", &[])?
        .get(0);
    ensure!(held_by.contains("this database is a copy"), "{held_by}");
    assert_eq!(resumed(&mut copy)?, [0; 0]);
    copy.batch_execute("select lockstep.release_restored()")?;
    assert_eq!(resumed(&mut copy)?.len(), 1);
    give_back_workers(&mut copy)
}

/// Projects whose cache columns are all wrong.
fn lay_out(client: &mut Client) -> Result<()> {
    host::create(client, Layout::Narrow)?;
    client.batch_execute(
        "create extension lockstep_slack cascade;
         insert into projects (id, namespace_id) select id, 1 from generate_series(1, 3000) id;
         insert into integrations (project_id, type_new, category, active)
           select id, 'Integrations::ExternalWiki', 'common', true from generate_series(1, 3000) id;
         do $$begin perform lockstep.attach(); perform lockstep.attach_slack(); end$$;
         analyze projects",
    )?;
    Ok(())
}

pub(super) fn connect(cluster: &Cluster) -> Result<Client> {
    let begun = Instant::now();
    loop {
        match cluster.connect("app") {
            Ok(client) => return Ok(client),
            Err(error) if begun.elapsed() > PATIENCE => bail!("no recovery: {error:#}"),
            Err(_) => sleep(Duration::from_millis(10)),
        }
    }
}

/// Begins to correct them; returns the run while it works.
fn begin(client: &mut Client) -> Result<i64> {
    let statement = "select lockstep.start_backfill('cache_columns', 'projects', workers => 2, settings => $1::text::jsonb)";
    let run = client.query_one(statement, &[&SLOW])?.get(0);
    wait_until(client, run, "scanned > 0 and cardinality(pids) = 2")?;
    Ok(run)
}

/// Nobody else resumes it.
fn ends_by_itself(client: &mut Client, run: i64) -> Result<()> {
    let settings = r#"{"pause_ms": 0, "target_ms": 100}"#;
    wait_until(client, run, "cardinality(pids) = 2")?;
    client.batch_execute(&format!(
        "select lockstep.alter_backfill({run}, '{settings}')"
    ))?;
    finish(client, run, 3_000)?;
    let drift = "select count(*) from lockstep.cache_columns c, lockstep.cache_column_drift(c.target_table, c.target_column)";
    assert_eq!(number(client, drift)?, 0);
    Ok(())
}

#[test]
fn work_resumes_a_run_after_the_postmaster_was_killed() -> Result<()> {
    let mut cluster = Cluster::start("backfill_lost_killed", &[])?;
    let mut client = cluster.create_database("app")?;
    lay_out(&mut client)?;
    // Two of them, which do it once.
    let mut sidecars = Vec::new();
    for _ in 0..2 {
        sidecars.push(work::Sidecar::start(&cluster.address("app"), &[])?);
    }
    // One that finds no database as it starts ends with an error.
    work::wait_for(
        &mut client,
        "the sidecars to start",
        "select count(*) = 2 from lockstep_internal.job_runner",
    )?;
    let run = begin(&mut client)?;
    cluster.kill_postmaster()?;
    cluster.resume()?;
    let mut client = connect(&cluster)?;
    ends_by_itself(&mut client, run)?;
    drop(sidecars);
    Ok(())
}

#[test]
fn serve_resumes_a_run_after_a_failover() -> Result<()> {
    let mut primary = Cluster::start("backfill_lost_primary", &[])?;
    let mut client = primary.create_database("app")?;
    lay_out(&mut client)?;
    let standby = Standby::start(&primary, "backfill_lost_standby", &[])?;
    standby.catch_up(&primary)?;
    let sockets =
        [primary.socket(), standby.cluster().socket()].map(|socket| socket.display().to_string());
    let url = format!(
        "host='{}' port={PORT},{PORT} user={SUPERUSER} dbname=app target_session_attrs=read-write",
        sockets.join(",")
    );
    let slack = FakeSlack::start(App::default())?;
    let sidecar = slack_app::Sidecar::start(&url, &slack, &[])?;
    sidecar.wait_until_ready()?;
    let run = begin(&mut client)?;
    // What has not arrived there is done again; the run itself must have.
    standby.catch_up(&primary)?;
    primary.kill_postmaster()?;
    standby.promote()?;
    let mut client = connect(standby.cluster())?;
    ends_by_itself(&mut client, run)
}
