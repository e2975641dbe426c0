//! A waiting session or worker holds nothing and survives a cancellation; and the reason why a worker ended is reported.

use std::collections::BTreeMap;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use postgres::Client;

use crate::backfill::{counted, finish, progress, start, times, wait_until};
use crate::concurrency::{PATIENCE, pid_of};
use crate::database::cluster;
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};

const AN_HOUR: &str =
    r#"{"sub_batch_size": 10, "target_ms": 0, "range_size": 20, "pause_ms": 3600000}"#;

const HELD: &str =
    r#"{"sub_batch_size": 10, "target_ms": 0, "hold_function": "wait", "hold_ms": 3600000}"#;

const WAIT: &str = "create function wait() returns text language sql as $$select 'waits'$$";

/// Returns once the session sleeps without holding back vacuum, in a transaction that began after the given one; returns when
/// that was.
fn sleeps_free(client: &mut Client, pid: i32, after: &str) -> Result<String> {
    let query = "select max(xact_start::text) from pg_stat_activity
        where pid = $1 and wait_event = 'PgSleep' and backend_xmin is null and backend_xid is null and xact_start > $2::text::timestamptz";
    let begun = Instant::now();
    loop {
        if let Some(since) = client.query_one(query, &[&pid, &after])?.get(0) {
            return Ok(since);
        }
        ensure!(begun.elapsed() < PATIENCE, "it holds a snapshot");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_call_that_waits_holds_no_snapshot() -> Result<()> {
    let name = "backfill_call_snapshot";
    let mut client = counted(name, 100)?;
    client.batch_execute(WAIT)?;
    for (run, isolation, settings, shows) in [
        (1, "read committed", AN_HOUR, "scanned = 10"),
        (2, "repeatable read", AN_HOUR, "scanned = 10"),
        (3, "serializable", HELD, "held_by = 'waits'"),
    ] {
        let mut session = cluster()?.connect(name)?;
        session.batch_execute(&format!(
            "set default_transaction_isolation = '{isolation}'; set statement_timeout = '2min'"
        ))?;
        let pid = pid_of(&mut session)?;
        thread::scope(|scope| -> Result<()> {
            let call = format!("call lockstep.backfill('count', settings => '{settings}')");
            let calling = scope.spawn(move || session.batch_execute(&call));
            let seen = format!(
                "select count(*) from lockstep.backfill_progress where run = {run} and {shows}"
            );
            let begun = Instant::now();
            while number(&mut client, &seen)? == 0 {
                ensure!(begun.elapsed() < PATIENCE, "the call does nothing");
            }
            // Before it has checked the run again, and after.
            let first = sleeps_free(&mut client, pid, "-infinity")?;
            sleeps_free(&mut client, pid, &first)?;
            client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
            let outcome = calling
                .join()
                .map_err(|_| anyhow!("the session panicked"))?;
            let error = outcome.err().context("the call was not ended")?;
            assert_eq!(
                error.code().map_or("", |code| code.code()),
                "55000",
                "{error}"
            );
            Ok(())
        })?;
    }
    let waiting = "call lockstep_internal.wait_for_backfill(1, 1)";
    refused(
        &mut client,
        &format!("begin; {waiting}"),
        "25001",
        "transaction block",
    )?;
    client.batch_execute("rollback")?;
    Ok(())
}

/// Cancelling is for sub-batches: a worker that pauses or holds has none.
#[test]
fn a_worker_that_waits_outlives_a_cancellation() -> Result<()> {
    let mut client = counted("backfill_cancelled", 100)?;
    client.batch_execute(WAIT)?;
    for (settings, shows, round) in [(AN_HOUR, "scanned = 10", 1), (HELD, "held_by = 'waits'", 2)] {
        let run = start(&mut client, "count", 1, settings)?;
        wait_until(
            &mut client,
            run,
            &format!("{shows} and cardinality(pids) = 1"),
        )?;
        let pids = progress(&mut client, run, "pids")?;
        for _ in 0..3 {
            client.batch_execute(&format!(
                "select pg_cancel_backend(pid) from unnest('{pids}'::integer[]) pid"
            ))?;
        }
        assert_eq!(progress(&mut client, run, "pids")?, pids);
        client.batch_execute(&format!(
            r#"select lockstep.alter_backfill({run}, '{{"pause_ms": 0, "hold_function": null}}')"#
        ))?;
        finish(&mut client, run, 100)?;
        assert_eq!(progress(&mut client, run, "last_error")?, "");
        assert_eq!(
            times(&mut client, "counted")?,
            BTreeMap::from([(round, 100)])
        );
    }
    Ok(())
}

/// A worker is cancelled before it has begun, while the transaction that starts it has not committed.
#[test]
fn a_worker_that_waits_for_its_start_outlives_a_cancellation() -> Result<()> {
    let name = "backfill_cancelled_start";
    let mut client = counted(name, 100)?;
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin")?;
    let run = start(&mut other, "count", 1, "{}")?;
    let waiting = "select count(*) from pg_stat_activity
                    where backend_type = 'lockstep backfill' and datname = current_database() and wait_event_type = 'Lock'";
    let begun = Instant::now();
    while number(&mut client, waiting)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "the worker does not wait");
    }
    client.batch_execute(
        "select pg_cancel_backend(pid) from pg_stat_activity
          where backend_type = 'lockstep backfill' and datname = current_database()",
    )?;
    other.batch_execute("commit")?;
    finish(&mut client, run, 100)
}

#[test]
fn the_end_of_the_last_worker_is_told() -> Result<()> {
    let mut client = counted("backfill_end_told", 100)?;
    let run = start(&mut client, "count", 2, AN_HOUR)?;
    wait_until(&mut client, run, "cardinality(pids) = 2 and scanned = 20")?;
    let terminate = format!(
        "select pg_terminate_backend(pids[1]) from lockstep.backfill_progress where run = {run}"
    );
    client.batch_execute(&terminate)?;
    wait_until(&mut client, run, "cardinality(pids) = 1")?;
    assert_eq!(progress(&mut client, run, "last_error")?, "");
    client.batch_execute(&terminate)?;
    wait_until(&mut client, run, "pids = '{}'")?;
    let says = "array[status, last_error, held_by]";
    assert_eq!(
        progress(&mut client, run, says)?,
        r#"{running,"its last worker was terminated","no worker: a sidecar or pg_cron resumes the run, or call lockstep.resume_backfill"}"#
    );
    client.batch_execute(&format!(
        r#"select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}'); select lockstep.resume_backfill({run})"#
    ))?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

/// Where transactions are read-only by default, writers must say so; workers do.
#[test]
fn a_database_that_is_read_only_by_default() -> Result<()> {
    let name = "backfill_read_only";
    let mut client = counted(name, 100)?;
    client.batch_execute(&format!(
        "alter database {name} set default_transaction_read_only = on; alter database {name} set lock_timeout = 1"
    ))?;
    let run = start(&mut client, "count", 2, "{}")?;
    finish(&mut client, run, 100)?;
    let mut other = cluster()?.connect(name)?;
    for statement in [
        "call lockstep.backfill('count')",
        "select lockstep.start_backfill('count')",
    ] {
        let error = error_of(&mut other, statement)?;
        assert_eq!(error.code().code(), "25006", "{error}");
    }
    other.batch_execute("set default_transaction_read_only = off")?;
    other.batch_execute("call lockstep.backfill('count')")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(2, 100)]));
    Ok(())
}
