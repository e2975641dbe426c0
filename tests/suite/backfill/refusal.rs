//! Invalid requests about runs, jobs and settings.

use crate::backfill::{SLOW, counted, finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::{PATIENCE, pid_of, wait_until_blocked};
use crate::database::{self, cluster};
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};
use anyhow::{Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use std::collections::BTreeMap;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

#[test]
fn settings_are_checked_and_can_be_changed() -> Result<()> {
    let mut client = counted("backfill_settings", 500)?;
    let cases = [
        (r#"{"paus_ms": 1}"#, "paus_ms"),
        (r#"{"pause_ms": -1}"#, "pause_ms"),
        (r#"{"pause_ms": "1"}"#, "pause_ms must be a whole number"),
        (r#"{"sub_batch_size": 0}"#, "sub_batch_size"),
        (r#"{"sub_batch_size": 30000}"#, "max_sub_batch_size"),
        (r#"{"range_size": 0}"#, "range_size"),
        (
            r#"{"hold_for_vacuum": 1}"#,
            "hold_for_vacuum must be true or false",
        ),
        ("[]", "not a JSON object"),
        ("1", "not a JSON object"),
    ];
    for (settings, word) in cases {
        let query = format!("select lockstep.start_backfill('count', settings => '{settings}')");
        refused(&mut client, &query, "22023", word)?;
        refused(
            &mut client,
            &format!("call lockstep.backfill('count', settings => '{settings}')"),
            "22023",
            word,
        )?;
    }
    // The first size follows the largest, if only that is given.
    for (settings, first) in [
        (r#"{"max_sub_batch_size": 250}"#, 250),
        (r#"{"max_sub_batch_size": 250, "sub_batch_size": 40}"#, 40),
        (r#"{"max_sub_batch_size": 5000}"#, 1_000),
    ] {
        client.batch_execute(&format!(
            "call lockstep.backfill('count', settings => '{settings}')"
        ))?;
        let stored = "select (settings->>'sub_batch_size')::bigint from lockstep_internal.backfill_run order by id desc limit 1";
        assert_eq!(number(&mut client, stored)?, first, "{settings}");
    }
    client.batch_execute(
        "delete from lockstep_internal.backfill_range; delete from lockstep_internal.backfill_run",
    )?;
    refused(
        &mut client,
        r#"call lockstep.backfill('count', settings => '{"max_sub_batch_size": 0}')"#,
        "22023",
        "max_sub_batch_size must be at least 1",
    )?;
    for workers in [0, -1, 1_025] {
        let query = format!("select lockstep.start_backfill('count', workers => {workers})");
        refused(&mut client, &query, "22023", "workers")?;
    }
    for name in ["gone", "pg_sleep", "now", "count(*); drop table counted"] {
        let query = format!(
            "select lockstep.start_backfill('count', settings => '{{\"hold_function\": \"{name}\"}}')"
        );
        let error = error_of(&mut client, &query)?;
        assert!(
            ["42883", "42601", "42602"].contains(&error.code().code()),
            "{name}: {error:?}"
        );
    }
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.backfill_run"
        )?,
        0
    );

    let slow = r#"{"sub_batch_size": 1, "target_ms": 0, "pause_ms": 50}"#;
    let run = start(&mut client, "count", 1, slow)?;
    wait_until(&mut client, run, "scanned > 0")?;
    refused(
        &mut client,
        &format!(r#"select lockstep.alter_backfill({run}, '{{"pause_ms": -5}}')"#),
        "22023",
        "pause_ms",
    )?;
    client.batch_execute(&format!(
        r#"select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    finish(&mut client, run, 500)?;
    let settings = progress(&mut client, run, "settings")?;
    ensure!(
        settings.contains(r#""pause_ms": 0"#) && settings.contains(r#""sub_batch_size": 1"#),
        "{settings}"
    );
    Ok(())
}

#[test]
fn jobs_and_tables_that_are_not_there() -> Result<()> {
    let mut client = database::empty("backfill_tables")?;
    client.batch_execute(
        "create extension lockstep;
         create table t (a bigint, b bigint, n integer, primary key (a, b));
         select lockstep.register_backfill_job('pairs', 't', 'update t set n = 1 where {range}')",
    )?;
    refused(
        &mut client,
        "select lockstep.start_backfill('gone')",
        "42704",
        "does not exist",
    )?;
    refused(
        &mut client,
        "select lockstep.start_backfill(null)",
        "22004",
        "job",
    )?;
    refused(
        &mut client,
        "select lockstep.start_backfill('service_accounts')",
        "22023",
        "needs the name of its table",
    )?;
    refused(
        &mut client,
        "select lockstep.start_backfill('cache_columns', 't')",
        "22023",
        "does not apply to table",
    )?;
    refused(
        &mut client,
        "select lockstep.backfill_batch('pairs', 1, 2)",
        "0A000",
        "no integer ids",
    )?;
    refused(
        &mut client,
        "select lockstep.backfill_batch('pairs', 1, 2, 0)",
        "22023",
        "sub_batch_size",
    )?;
    Ok(())
}

/// A failed run is retried while another one of the same table is just starting.
#[test]
fn retry_beside_a_start_is_refused() -> Result<()> {
    let name = "backfill_retry_start";
    let mut client = counted(name, 10)?;
    client.batch_execute(
        "select lockstep.register_backfill_job('fail', 'counted', 'update counted set n = n / 0 where {range}')",
    )?;
    let run = start(&mut client, "fail", 1, r#"{"max_attempts": 1}"#)?;
    wait_until(&mut client, run, "status = 'failed'")?;
    let mut other = cluster()?.connect(name)?;
    let mut third = cluster()?.connect(name)?;
    let pid = pid_of(&mut third)?;
    // However slow this test is, the starting run does not end before the retry has checked.
    let mut holder = cluster()?.connect(name)?;
    holder.batch_execute("begin; select from counted where id = 1 for update")?;
    other.batch_execute(
        r#"begin; select lockstep.start_backfill('count', settings => '{"lock_timeout_ms": 0}')"#,
    )?;
    let retry = format!("select lockstep.retry_backfill({run})");
    let error = thread::scope(|scope| -> Result<_> {
        let retried = scope.spawn(|| error_of(&mut third, &retry));
        wait_until_blocked(&mut client, pid)?;
        other.batch_execute("commit")?;
        retried.join().map_err(|_| anyhow!("a session panicked"))?
    })?;
    holder.batch_execute("commit")?;
    assert_eq!(error.code().code(), "55006", "{error}");
    finish(&mut client, run + 1, 10)?;
    assert_eq!(progress(&mut client, run, "status")?, "failed");
    // Nothing of it was half undone.
    assert!(
        number(
            &mut client,
            &format!("select count(*) from lockstep.backfill_set_aside where run = {run}")
        )? > 0
    );
    Ok(())
}

/// The server has no free worker slots: the whole start is refused.
#[test]
fn start_without_room_for_workers_leaves_no_run() -> Result<()> {
    // One of them is PostgreSQL's own, for logical replication.
    let cluster = Cluster::start("few_workers", &[("max_worker_processes", "3")])?;
    let mut client = cluster.create_database("few_workers")?;
    lay_out(&mut client, 1_000)?;
    let error = error_of(
        &mut client,
        "select lockstep.start_backfill('count', workers => 5)",
    )?;
    assert_eq!(error.code().code(), "53400", "{error}");
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.backfill_progress"
        )?,
        0
    );
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(0, 1_000)]));
    // The workers that had started end, and release their slots.
    let begun = Instant::now();
    let run = loop {
        match start(&mut client, "count", 2, SLOW) {
            Ok(run) => break run,
            Err(error) => ensure!(begun.elapsed() < PATIENCE, "{error:#}"),
        }
        sleep(Duration::from_millis(50));
    };
    finish(&mut client, run, 1_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 1_000)]));
    Ok(())
}
