//! Background workers that cannot be started, and workers that give up.

use std::collections::BTreeMap;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::Client;

use crate::backfill::{counted, finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;
use crate::surface::refusal::{error_of, refused};

/// Slow enough to last, and quick to notice changes of the run.
const STAYING: &str = r#"{"sub_batch_size": 1, "target_ms": 0, "pause_ms": 100}"#;

/// A sub-batch, and then a pause that no test waits for.
const AN_HOUR: &str =
    r#"{"sub_batch_size": 10, "target_ms": 0, "range_size": 20, "pause_ms": 3600000}"#;

/// Makes workers fail when they take a range, outside of the job.
const SPOIL: &str = "
create function spoil() returns trigger language plpgsql as $$begin raise 'spoiled'; end$$;
create trigger spoil before insert on lockstep_internal.backfill_range for each row";

/// All workers are started, or none; runs without workers continue.
#[test]
fn a_server_without_a_free_place_refuses_workers() -> Result<()> {
    // One is for one run, and one is PostgreSQL's own, for logical replication.
    let cluster = Cluster::start("no_worker", &[("max_worker_processes", "2")])?;
    let mut client = cluster.create_database("no_worker")?;
    lay_out(&mut client, 300)?;
    client.batch_execute(
        "create table other (id bigint primary key, n integer not null default 0);
         insert into other select id from generate_series(1, 300) id;
         select lockstep.register_backfill_job('other', 'other', 'update other set n = n + 1 where {range}')",
    )?;
    let first = start(&mut client, "count", 1, STAYING)?;
    let check = |client: &mut Client, statement: &str| -> Result<()> {
        let error = error_of(client, statement)?;
        ensure!(
            error.code().code() == "53400" && error.message().starts_with("only 0 of 1 "),
            "{error:?}"
        );
        ensure!(
            error
                .hint()
                .unwrap_or_default()
                .contains("max_worker_processes"),
            "{error:?}"
        );
        Ok(())
    };
    check(&mut client, "select lockstep.start_backfill('other')")?;
    let runs = "select count(*) from lockstep_internal.backfill_run";
    assert_eq!(number(&mut client, runs)?, 1);
    // The table is available.
    client.batch_execute("call lockstep.backfill('other')")?;
    assert_eq!(times(&mut client, "other")?, BTreeMap::from([(1, 300)]));

    // A paused run stays paused and keeps its position.
    wait_until(&mut client, first, "scanned > 0")?;
    client.batch_execute(&format!("select lockstep.pause_backfill({first})"))?;
    wait_until(&mut client, first, "pids = '{}'")?;
    let second = start_when_free(
        &mut client,
        "select lockstep.start_backfill('other', settings => $1::text::jsonb)",
        &[&STAYING],
    )?;
    let resume = format!("select lockstep.resume_backfill({first})");
    check(&mut client, &resume)?;
    assert_eq!(progress(&mut client, first, "status")?, "paused");
    client.batch_execute(&format!(
        r#"select lockstep.cancel_backfill({second});
           select lockstep.alter_backfill({first}, '{{"pause_ms": 0}}')"#
    ))?;
    start_when_free(&mut client, &format!("{resume}, 0::bigint as run"), &[])?;
    finish(&mut client, first, 300)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 300)]));
    Ok(())
}

/// Starts workers once those that were told to end have left their slots.
fn start_when_free(
    client: &mut Client,
    query: &str,
    arguments: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<i64> {
    let begun = Instant::now();
    loop {
        match client.query_one(query, arguments) {
            Ok(row) => return Ok(row.get(row.len() - 1)),
            Err(error) => ensure!(
                begun.elapsed() < PATIENCE
                    && error.code().is_some_and(|code| code.code() == "53400"),
                "{error:?}"
            ),
        }
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_run_whose_workers_all_give_up_is_paused() -> Result<()> {
    let mut client = counted("backfill_given_up", 100)?;
    client.batch_execute(&format!("{SPOIL} execute function spoil()"))?;
    let run = start(&mut client, "count", 2, "{}")?;
    wait_until(&mut client, run, "status = 'paused' and pids = '{}'")?;
    let says = "array[held_by like 'its workers failed 5 times in a row%', last_error = 'spoiled', finished_at is null]";
    assert_eq!(progress(&mut client, run, says)?, "{t,t,t}");
    refused(
        &mut client,
        "call lockstep.backfill('count')",
        "55006",
        "which is paused",
    )?;
    client.batch_execute("drop trigger spoil on lockstep_internal.backfill_range")?;
    client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
    finish(&mut client, run, 100)?;
    assert_eq!(progress(&mut client, run, "held_by")?, "");
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

#[test]
fn a_worker_that_gives_up_leaves_the_run_to_the_others() -> Result<()> {
    let name = "backfill_one_gives_up";
    let mut client = counted(name, 100)?;
    client.batch_execute(&format!(
        "{SPOIL} when (new.slot = 1) execute function spoil()"
    ))?;
    // Neither starts before both exist: otherwise each would be the last one that gives up.
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin; lock table lockstep_internal.backfill_range in exclusive mode")?;
    let run = start(&mut client, "count", 2, AN_HOUR)?;
    wait_until(&mut client, run, "cardinality(pids) = 2")?;
    other.batch_execute("commit")?;
    // The other one does a sub-batch and waits.
    wait_until(
        &mut client,
        run,
        "last_error = 'spoiled' and scanned = 10 and cardinality(pids) = 1",
    )?;
    let workers = "select count(*) from pg_stat_activity where backend_type = 'lockstep backfill' and datname = current_database()";
    let begun = Instant::now();
    while number(&mut client, workers)? > 1 {
        ensure!(begun.elapsed() < PATIENCE, "the worker stays");
        sleep(Duration::from_millis(5));
    }
    assert_eq!(
        progress(&mut client, run, "array[status, held_by]")?,
        "{running,NULL}"
    );
    client.batch_execute(&format!(
        r#"drop trigger spoil on lockstep_internal.backfill_range;
           select pg_terminate_backend(pids[1]) from lockstep.backfill_progress where run = {run};
           select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}')"#
    ))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

/// PostgreSQL wakes a waiting process for other reasons than a timeout.
#[test]
fn a_pause_lasts_however_often_the_worker_is_woken() -> Result<()> {
    let mut client = counted("backfill_woken", 100)?;
    let run = start(&mut client, "count", 1, AN_HOUR)?;
    wait_until(&mut client, run, "scanned = 10")?;
    for _ in 0..3 {
        client.batch_execute("select pg_reload_conf()")?;
        client.batch_execute("create database backfill_wakes")?;
        // Since PostgreSQL 15 this ends only when all processes have acknowledged it.
        client.batch_execute("drop database backfill_wakes")?;
    }
    client.batch_execute(&format!(
        "select pg_terminate_backend(pids[1]) from lockstep.backfill_progress where run = {run}"
    ))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    assert_eq!(progress(&mut client, run, "scanned")?, "10");
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    Ok(())
}

/// Pauses and holds of an hour, in a background worker; the next test does the same for a call.
#[test]
fn a_pause_ends_when_the_run_is_paused_cancelled_or_altered() -> Result<()> {
    let mut client = counted("backfill_pause_ends", 100)?;
    let run = start(&mut client, "count", 2, AN_HOUR)?;
    wait_until(&mut client, run, "scanned = 20 and cardinality(pids) = 2")?;
    client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
    wait_until(&mut client, run, "scanned = 40 and cardinality(pids) = 2")?;
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    assert_eq!(progress(&mut client, run, "scanned")?, "40");

    client.batch_execute(
        "create function wait() returns text language sql as $$select 'wait'$$; update counted set n = 0",
    )?;
    let settings = r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 3600000, "hold_ms": 3600000, "hold_function": "wait"}"#;
    let run = start(&mut client, "count", 1, settings)?;
    wait_until(&mut client, run, "held_by = 'wait'")?;
    let alter = |client: &mut Client, settings: &str| {
        client.batch_execute(&format!(
            "select lockstep.alter_backfill({run}, '{settings}')"
        ))
    };
    alter(&mut client, r#"{"hold_function": null}"#)?;
    wait_until(&mut client, run, "scanned = 10")?;
    alter(&mut client, r#"{"pause_ms": 0}"#)?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

#[test]
fn a_pause_of_a_call_ends_when_the_run_is_cancelled_or_altered() -> Result<()> {
    let name = "backfill_call_pause_ends";
    let mut client = counted(name, 100)?;
    let mut session = cluster()?.connect(name)?;
    // Its snapshot does not change within a transaction. The limit is for a call that nothing ends.
    session.batch_execute(
        "set default_transaction_isolation = 'repeatable read'; set statement_timeout = '2min'",
    )?;
    let call = format!("call lockstep.backfill('count', settings => '{AN_HOUR}')");
    for (run, told) in [
        (1, "cancel_backfill(1)"),
        (2, r#"alter_backfill(2, '{"pause_ms": 0}')"#),
    ] {
        let outcome = thread::scope(|scope| -> Result<_> {
            let calling = scope.spawn(|| session.batch_execute(&call));
            let begun = Instant::now();
            let done = format!(
                "select count(*) from lockstep.backfill_progress where run = {run} and scanned = 10"
            );
            while number(&mut client, &done)? == 0 {
                ensure!(begun.elapsed() < PATIENCE, "the call does nothing");
            }
            client.batch_execute(&format!("select lockstep.{told}"))?;
            wait_until(&mut client, run, "pids = '{}'")?;
            calling.join().map_err(|_| anyhow!("the session panicked"))
        })?;
        let code = outcome.as_ref().err().and_then(postgres::Error::code);
        let expected = if run == 1 { "55000" } else { "" };
        assert_eq!(code.map_or("", |code| code.code()), expected, "{outcome:?}");
    }
    finish(&mut client, 2, 100)?;
    assert_eq!(
        times(&mut client, "counted")?,
        BTreeMap::from([(1, 90), (2, 10)])
    );
    Ok(())
}
