//! The reasons to hold a run, each triggered and removed.

use std::process::Stdio;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Client;

use crate::backfill::{counted, finish, lay_out, progress, start, wait_until};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;

/// Checks again soon.
fn settings(hold: &str) -> String {
    format!(r#"{{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 1, "hold_ms": 20, {hold}}}"#)
}

/// A run that holds from its start for this reason does nothing until `release`, and then everything.
fn holds(
    client: &mut Client,
    hold: &str,
    (cause, reason): (&str, &str),
    release: impl FnOnce(&mut Client) -> Result<()>,
) -> Result<()> {
    let rows = number(client, "select count(*) from counted")?;
    let run = start(client, "count", 1, &settings(hold))?;
    wait_until(
        client,
        run,
        &format!("held_by like '{reason}' and held_cause = '{cause}'"),
    )?;
    assert_eq!(progress(client, run, "scanned")?, "0");
    release(client)?;
    finish(client, run, rows)?;
    assert_eq!(progress(client, run, "held_by")?, "");
    assert_eq!(progress(client, run, "held_cause")?, "");
    Ok(())
}

#[test]
fn for_a_vacuum_of_the_table() -> Result<()> {
    let name = "backfill_vacuum";
    let mut client = counted(name, 20_000)?;
    let mut vacuuming = cluster()?.connect(name)?;
    vacuuming.batch_execute(
        "update counted set n = 0; set vacuum_cost_delay = 100; set vacuum_cost_limit = 1",
    )?;
    let token = vacuuming.cancel_token();
    thread::scope(|scope| -> Result<()> {
        let vacuum = scope.spawn(|| vacuuming.batch_execute("vacuum counted"));
        let running =
            "select count(*) from pg_stat_progress_vacuum where relid = 'counted'::regclass";
        let begun = Instant::now();
        while number(&mut client, running)? == 0 {
            ensure!(begun.elapsed() < PATIENCE, "the vacuum does not run");
        }
        holds(
            &mut client,
            r#""hold_for_vacuum": true"#,
            ("vacuum", "a vacuum%"),
            |client| {
                // Another run with a different hold setting would continue.
                ensure!(number(client, running)? == 1, "the vacuum is over");
                token.cancel_query(postgres::NoTls)?;
                Ok(())
            },
        )?;
        vacuum
            .join()
            .map_err(|_| anyhow!("the session panicked"))?
            .err()
            .context("the vacuum was not cancelled")?;
        Ok(())
    })
}

#[test]
fn for_a_function_of_the_dba() -> Result<()> {
    let mut client = counted("backfill_signal", 100)?;
    client.batch_execute(
        "create schema ops; create table ops.signal (reason text); insert into ops.signal values ('it is Friday');
         create function ops.may_backfill() returns text language sql as 'select reason from ops.signal';
         create function ops.broken() returns text language plpgsql as $$begin
           if (select reason is null from ops.signal) then return null; end if; raise exception 'no idea'; end$$",
    )?;
    let release =
        |client: &mut Client| Ok(client.batch_execute("update ops.signal set reason = null")?);
    holds(
        &mut client,
        r#""hold_function": "ops.may_backfill""#,
        ("hold_function", "it is Friday"),
        release,
    )?;
    // A function that fails holds the run as well.
    client.batch_execute("update ops.signal set reason = 'any'; set search_path = ops, public")?;
    holds(
        &mut client,
        r#""hold_function": "broken""#,
        ("hold_function", "ops.broken() failed: no idea"),
        release,
    )
}

#[test]
fn for_sessions_that_had_to_wait() -> Result<()> {
    let name = "backfill_waiters";
    let mut client = counted(name, 400)?;
    let mut waiter = cluster()?.connect(name)?;
    client.batch_execute(
        "create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(0.01); return new; end$$;
         create trigger linger before update on counted for each row when (new.n > old.n) execute function linger()",
    )?;
    let run = start(
        &mut client,
        "count",
        1,
        r#"{"sub_batch_size": 100, "target_ms": 0, "statement_timeout_ms": 0}"#,
    )?;
    // Row 1 is locked as soon as the first sub-batch has begun.
    let begun = Instant::now();
    while client
        .batch_execute("select from counted where id = 1 for update nowait")
        .is_ok()
    {
        ensure!(begun.elapsed() < PATIENCE, "the run does not begin");
    }
    thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| waiter.batch_execute("update counted set n = n where id = 1"));
        wait_until(
            &mut client,
            run,
            "held_by = 'another session waited for its rows' and held_cause = 'waiters' and sub_batch_size = 50",
        )?;
        Ok(waiting
            .join()
            .map_err(|_| anyhow!("the session panicked"))??)
    })?;
    finish(&mut client, run, 400)
}

/// The server's archive and standbys are shared, so these two have their own cluster.
#[test]
fn for_archiving_and_replication() -> Result<()> {
    let cluster = Cluster::start(
        "hold",
        &[("archive_mode", "on"), ("archive_command", "false")],
    )?;
    let mut client = cluster.create_database("hold")?;
    lay_out(&mut client, 100)?;
    for _ in 0..4 {
        client.batch_execute("select pg_logical_emit_message(true, 'lockstep', 'x')")?;
        client.batch_execute("select pg_switch_wal()")?;
    }
    holds(
        &mut client,
        r#""hold_at_wal_files": 2"#,
        ("archiving", "% WAL files wait to be archived"),
        |client| {
            client.batch_execute("alter system set archive_command = 'true'")?;
            client.batch_execute("select pg_reload_conf()")?;
            Ok(())
        },
    )?;
    let files = tempfile(&cluster)?;
    let mut receiver = cluster
        .client_program("pg_receivewal")
        .args(["--no-loop", "--directory"])
        .arg(&files)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let outcome = lags(&mut client, Pid::from_raw(receiver.id() as i32));
    receiver.kill()?;
    receiver.wait()?;
    outcome
}

fn lags(client: &mut Client, receiver: Pid) -> Result<()> {
    let begun = Instant::now();
    while number(
        client,
        "select count(*) from pg_stat_replication where state = 'streaming'",
    )? == 0
    {
        ensure!(begun.elapsed() < PATIENCE, "nothing streams");
        sleep(Duration::from_millis(10));
    }
    kill(receiver, Signal::SIGSTOP)?;
    // More than the socket buffers.
    for _ in 0..8 {
        client.batch_execute(
            "select pg_logical_emit_message(true, 'lockstep', repeat('x', 1000000))",
        )?;
    }
    let hold = r#""hold_at_replication_lag": 2000000"#;
    holds(
        client,
        hold,
        ("replication", "standby pg_receivewal is % behind"),
        |_| Ok(kill(receiver, Signal::SIGCONT)?),
    )
}

/// A directory for the client program, removed with the cluster's.
fn tempfile(cluster: &Cluster) -> Result<std::path::PathBuf> {
    let directory = cluster.socket().join("received");
    std::fs::create_dir(&directory)?;
    Ok(directory)
}
