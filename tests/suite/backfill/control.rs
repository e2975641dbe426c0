//! Controlling active runs: started twice, paused, resumed, cancelled, changed, rolled back; and their workers.

use std::collections::BTreeMap;
use std::fs;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::Client;
use postgres::error::SqlState;

use crate::backfill::{SLOW, counted, finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::{PATIENCE, pid_of, wait_until_blocked};
use crate::database::cluster;
use crate::service_account::number;
use crate::surface::refusal::refused;

fn call(client: &mut Client, function: &str, run: i64) -> Result<()> {
    client.batch_execute(&format!("select lockstep.{function}({run})"))?;
    Ok(())
}

#[test]
fn a_table_has_one_run() -> Result<()> {
    let mut client = counted("backfill_one_run", 1_000)?;
    client.batch_execute(
        "select lockstep.register_backfill_job('count_again', 'counted', 'update counted set n = n + 1 where {range}')",
    )?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(cluster()?.connect("backfill_one_run")?);
    }
    let outcomes = thread::scope(|scope| {
        let started: Vec<_> = sessions
            .iter_mut()
            .map(|session| scope.spawn(|| start(session, "count", 1, SLOW)))
            .collect();
        let joined = started
            .into_iter()
            .map(|session| session.join().map_err(|_| anyhow!("a session panicked")));
        joined.collect::<Result<Vec<_>>>()
    })?;
    let runs: Vec<i64> = outcomes
        .iter()
        .filter_map(|run| run.as_ref().ok().copied())
        .collect();
    assert_eq!(runs.len(), 1, "{outcomes:?}");
    let run = runs[0];
    for other in [
        "lockstep.start_backfill('count_again')",
        "lockstep.start_backfill('count')",
    ] {
        let error = refused(&mut client, &format!("select {other}"), "55006", "already")?;
        assert!(error.message().contains(&run.to_string()), "{error}");
    }
    wait_until(&mut client, run, "pids <> '{}'")?;
    refused(
        &mut client,
        "call lockstep.backfill('count')",
        "55006",
        "already",
    )?;
    finish(&mut client, run, 1_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 1_000)]));
    Ok(())
}

#[test]
fn pause_resume_and_cancel() -> Result<()> {
    let mut client = counted("backfill_pause", 2_000)?;
    let run = start(&mut client, "count", 2, SLOW)?;
    wait_until(&mut client, run, "scanned > 0")?;
    call(&mut client, "pause_backfill", run)?;
    wait_until(&mut client, run, "pids = '{}'")?;
    let scanned = progress(&mut client, run, "scanned")?;
    let done = number(&mut client, "select sum(n) from counted")?;
    assert_eq!(scanned, done.to_string());
    assert!(done < 2_000, "it was over before it was paused");
    refused(
        &mut client,
        &format!("select lockstep.pause_backfill({run})"),
        "55000",
        "is paused",
    )?;
    refused(
        &mut client,
        "call lockstep.backfill('count')",
        "55006",
        "which is paused",
    )?;
    call(&mut client, "resume_backfill", run)?;
    finish(&mut client, run, 2_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 2_000)]));

    let run = start(&mut client, "count", 1, SLOW)?;
    wait_until(&mut client, run, "scanned > 0")?;
    call(&mut client, "cancel_backfill", run)?;
    wait_until(&mut client, run, "pids = '{}'")?;
    let done = number(&mut client, "select count(*) from counted where n = 2")?;
    assert_eq!(progress(&mut client, run, "scanned")?, done.to_string());
    assert!(done < 2_000, "it was over before it was cancelled");
    for function in [
        "pause_backfill",
        "resume_backfill",
        "cancel_backfill",
        "retry_backfill",
    ] {
        let query = format!("select lockstep.{function}({run})");
        refused(&mut client, &query, "55000", "is cancelled")?;
    }
    refused(
        &mut client,
        "select lockstep.pause_backfill(99)",
        "42704",
        "does not exist",
    )?;
    Ok(())
}

#[test]
fn an_interrupted_call_is_gone_on_with() -> Result<()> {
    let name = "backfill_interrupted";
    let mut client = counted(name, 3_000)?;
    let mut session = cluster()?.connect(name)?;
    let token = session.cancel_token();
    let run = thread::scope(|scope| -> Result<i64> {
        let calling = scope.spawn(|| {
            session.batch_execute(&format!(
                "call lockstep.backfill('count', settings => '{SLOW}')"
            ))
        });
        let begun = Instant::now();
        while number(
            &mut client,
            "select count(*) from lockstep.backfill_progress where scanned > 50",
        )? == 0
        {
            ensure!(begun.elapsed() < PATIENCE, "the call does nothing");
            sleep(Duration::from_millis(5));
        }
        token.cancel_query(postgres::NoTls)?;
        let outcome = calling
            .join()
            .map_err(|_| anyhow!("the session panicked"))?;
        let error = outcome
            .err()
            .context("it was over before it was interrupted")?;
        ensure!(error.code() == Some(&SqlState::QUERY_CANCELED), "{error}");
        number(
            &mut client,
            "select max(run) from lockstep.backfill_progress",
        )
    })?;
    wait_until(&mut client, run, "held_by like 'no worker%'")?;
    client.batch_execute("call lockstep.backfill('count')")?;
    finish(&mut client, run, 3_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 3_000)]));
    Ok(())
}

#[test]
fn a_run_that_is_rolled_back_leaves_nothing() -> Result<()> {
    let mut client = counted("backfill_rolled_back", 100)?;
    client.batch_execute("begin; select lockstep.start_backfill('count', workers => 2)")?;
    let workers = "select count(*) from pg_stat_activity where backend_type = 'lockstep backfill' and datname = current_database()";
    let begun = Instant::now();
    let mut witness = cluster()?.connect("backfill_rolled_back")?;
    while number(&mut witness, workers)? < 2 {
        ensure!(begun.elapsed() < PATIENCE, "no workers");
        sleep(Duration::from_millis(5));
    }
    client.batch_execute("rollback")?;
    while number(&mut witness, workers)? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the workers stay");
        sleep(Duration::from_millis(5));
    }
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.backfill_run"
        )?,
        0
    );
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(0, 100)]));
    Ok(())
}

#[test]
fn workers_are_seen_and_end_when_they_are_told() -> Result<()> {
    let name = "backfill_workers";
    let mut client = counted(name, 3_000)?;
    let run = start(&mut client, "count", 2, SLOW)?;
    wait_until(&mut client, run, "cardinality(pids) = 2 and scanned > 0")?;
    let seen = format!(
        "select count(*) from pg_stat_activity a join lockstep.backfill_progress p on a.pid = any (p.pids)
         where a.backend_type = 'lockstep backfill' and p.run = {run} and a.datname = current_database()"
    );
    assert_eq!(number(&mut client, &seen)?, 2);
    let says = "select count(*) from pg_stat_activity where query like 'lockstep: backfill run%' and datname = current_database()";
    let begun = Instant::now();
    while number(&mut client, says)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no worker says what it does");
    }
    let other = number(
        &mut client,
        "select pids[2]::bigint from lockstep.backfill_progress order by run desc limit 1",
    )?;
    client.batch_execute("select pg_terminate_backend(pids[1]) from lockstep.backfill_progress")?;
    wait_until(&mut client, run, &format!("pids = array[{other}]"))?;
    client.batch_execute("select pg_terminate_backend(pids[1]) from lockstep.backfill_progress")?;
    wait_until(&mut client, run, "held_by like 'no worker%'")?;
    // Nobody starts them again.
    sleep(Duration::from_millis(1_500));
    assert_eq!(progress(&mut client, run, "pids")?, "{}");
    call(&mut client, "resume_backfill", run)?;
    // Nor is a second worker started for one that exists.
    wait_until(&mut client, run, "cardinality(pids) = 2")?;
    call(&mut client, "resume_backfill", run)?;
    finish(&mut client, run, 3_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 3_000)]));
    Ok(())
}

#[test]
fn workers_end_with_the_extension_and_with_the_database() -> Result<()> {
    let name = "backfill_gone";
    let workers = format!(
        "select count(*) from pg_stat_activity where backend_type = 'lockstep backfill' and datname = '{name}'"
    );
    let mut witness = cluster()?.connect("postgres")?;
    for end in ["drop extension lockstep cascade", "drop database"] {
        let mut client = counted(name, 3_000)?;
        let run = start(&mut client, "count", 2, SLOW)?;
        wait_until(&mut client, run, "cardinality(pids) = 2 and scanned > 0")?;
        if end.starts_with("drop extension") {
            client.batch_execute(end)?;
        } else {
            witness.batch_execute(&format!("drop database {name} with (force)"))?;
        }
        let begun = Instant::now();
        while number(&mut witness, &workers)? > 0 {
            ensure!(begun.elapsed() < PATIENCE, "the workers outlive {end}");
            sleep(Duration::from_millis(10));
        }
        drop(client);
        witness.batch_execute(&format!("drop database if exists {name} with (force)"))?;
    }
    Ok(())
}

/// A drop locks the extension's tables in the order of their creation, jobs before runs; a step locks a run, then its job.
#[test]
fn a_drop_of_the_extension_and_a_step_do_not_end_in_a_deadlock() -> Result<()> {
    let name = "backfill_drop";
    let mut client = counted(name, 1_000)?;
    let mut witness = cluster()?.connect(name)?;
    let mut other = cluster()?.connect(name)?;
    let mut dropping = cluster()?.connect(name)?;
    let pid = pid_of(&mut dropping)?;
    let run = start(&mut client, "count", 1, SLOW)?;
    call(&mut client, "pause_backfill", run)?;
    wait_until(&mut client, run, "pids = '{}'")?;
    other.batch_execute("begin; lock table lockstep.backfill_job in access exclusive mode")?;
    // The worker starts when this commits.
    client.batch_execute("begin")?;
    call(&mut client, "resume_backfill", run)?;
    thread::scope(|scope| -> Result<()> {
        let dropped = scope.spawn(|| dropping.batch_execute("drop extension lockstep cascade"));
        wait_until_blocked(&mut witness, pid)?;
        client.batch_execute("commit")?;
        let begun = Instant::now();
        let waiting = "select count(*) from pg_stat_activity
                       where backend_type = 'lockstep backfill' and datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0";
        while number(&mut witness, waiting)? == 0 {
            ensure!(begun.elapsed() < PATIENCE, "the worker does not wait");
            sleep(Duration::from_millis(5));
        }
        // The worker has checked for a deadlock by then (deadlock_timeout), which it does once per wait: otherwise the drop would
        // fail.
        sleep(Duration::from_millis(1_500));
        other.batch_execute("commit")?;
        dropped
            .join()
            .map_err(|_| anyhow!("the session panicked"))??;
        Ok(())
    })?;
    let workers = "select count(*) from pg_stat_activity where backend_type = 'lockstep backfill' and datname = current_database()";
    let begun = Instant::now();
    while number(&mut witness, workers)? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the worker stays");
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn memory_of_a_worker_stays_flat() -> Result<()> {
    // Its own cluster: catalog changes by other tests make every process of a cluster reload its caches.
    let cluster = Cluster::start("backfill_memory", &[])?;
    let mut client = cluster.create_database("backfill_memory")?;
    lay_out(&mut client, 60_000)?;
    let settings = r#"{"sub_batch_size": 10, "target_ms": 0, "range_size": 100}"#;
    let run = start(&mut client, "count", 1, settings)?;
    wait_until(&mut client, run, "scanned >= 1000")?;
    let pid: i32 = progress(&mut client, run, "pids[1]")?.parse()?;
    let early = private_kilobytes(pid)?;
    wait_until(&mut client, run, "scanned >= 11000")?;
    let late = private_kilobytes(pid)?;
    call(&mut client, "cancel_backfill", run)?;
    ensure!(
        late < early + 1_024,
        "{early} kB after 100 sub-batches, {late} kB after 1,100"
    );
    Ok(())
}

fn private_kilobytes(pid: i32) -> Result<i64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(number.context("no RssAnon")?.parse()?)
}

/// Concurrent calls of one job: the second one is refused, or starts its own run if it comes after the first.
#[test]
fn calls_at_the_same_time_do_each_row_once() -> Result<()> {
    let name = "backfill_calls";
    let mut client = counted(name, 2_000)?;
    let mut sessions = Vec::new();
    for _ in 0..4 {
        sessions.push(cluster()?.connect(name)?);
    }
    let call = format!("call lockstep.backfill('count', settings => '{SLOW}')");
    let outcomes = thread::scope(|scope| {
        let called: Vec<_> = sessions
            .iter_mut()
            .map(|session| scope.spawn(|| session.batch_execute(&call)))
            .collect();
        let joined = called
            .into_iter()
            .map(|session| session.join().map_err(|_| anyhow!("a session panicked")));
        joined.collect::<Result<Vec<_>>>()
    })?;
    let mut finished: i64 = 0;
    for outcome in outcomes {
        match outcome {
            Ok(()) => finished += 1,
            Err(error) => assert_eq!(error.code(), Some(&SqlState::OBJECT_IN_USE), "{error:?}"),
        }
    }
    assert!(finished >= 1);
    let runs = number(
        &mut client,
        "select count(*) from lockstep.backfill_progress where status = 'finished'",
    )?;
    assert_eq!(finished, runs);
    let scanned = number(
        &mut client,
        "select sum(scanned)::bigint from lockstep.backfill_progress",
    )?;
    assert_eq!(scanned, 2_000 * runs);
    assert_eq!(
        times(&mut client, "counted")?,
        BTreeMap::from([(i32::try_from(runs)?, 2_000)])
    );
    Ok(())
}
