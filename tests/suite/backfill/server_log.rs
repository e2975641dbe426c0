//! Runs in the server's log and in pg_stat_activity.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::backfill::{counted, finish, progress, start, wait_until};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;

/// The lines of the log on runs of a table, without what comes before their level. A worker's has no database.
fn lines(table: &str) -> Result<Vec<String>> {
    let log = fs::read_to_string(cluster()?.log())?;
    let lines = log.lines().filter(|line| line.contains(table));
    let lines = lines.filter_map(|line| {
        let levels = ["LOG:  lockstep: ", "WARNING:  lockstep: "];
        let start = levels.iter().find_map(|level| line.find(level))?;
        Some(line[start..].to_owned())
    });
    Ok(lines.collect())
}

#[test]
fn the_log_has_what_becomes_of_a_run() -> Result<()> {
    const TABLE: &str = "public.told_rows";
    let mut client = counted("backfill_told", 100)?;
    client.batch_execute(
        "alter table counted rename to told_rows;
         select lockstep.register_backfill_job('tell', 'told_rows', 'update told_rows set n = n + 1 where {range}');
         create function spoil() returns trigger language plpgsql as $$
           begin if new.id = 70 then raise check_violation using message = 'spoiled', detail = 'a secret'; end if; return new; end $$;
         create trigger spoil before update on told_rows for each row execute function spoil()",
    )?;
    let settings = r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 3600000}"#;
    let run = start(&mut client, "tell", 1, settings)?;
    wait_until(&mut client, run, "scanned = 10")?;
    client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
    wait_until(&mut client, run, "pids = '{}'")?;
    client.batch_execute(&format!(
        r#"select lockstep.alter_backfill({run}, '{{"pause_ms": 0}}'); select lockstep.resume_backfill({run})"#
    ))?;
    wait_until(&mut client, run, "status = 'failed'")?;
    client.batch_execute(&format!(
        "drop trigger spoil on told_rows; select lockstep.retry_backfill({run})"
    ))?;
    finish(&mut client, run, 100)?;
    let begun = Instant::now();
    let role: String = client.query_one("select current_user::text", &[])?.get(0);
    let of_run = format!("lockstep: backfill run {run}, tell on {TABLE} as {role}:");
    let expected = [
        format!("LOG:  {of_run} started, workers: 1"),
        format!("LOG:  {of_run} paused"),
        format!("LOG:  {of_run} resumed"),
        format!("WARNING:  {of_run} set aside the rows after key (69) up to (70): spoiled"),
        format!(
            "WARNING:  {of_run} failed, as ranges were set aside: see lockstep.backfill_set_aside, then call lockstep.retry_backfill({run})"
        ),
        format!("LOG:  {of_run} resumed"),
        format!("LOG:  {of_run} finished"),
    ];
    loop {
        let lines = lines(TABLE)?;
        if lines == expected {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{lines:#?}\n{expected:#?}");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_worker_that_pauses_says_until_when() -> Result<()> {
    let mut client = counted("backfill_pausing", 100)?;
    let settings = r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 3600000}"#;
    let run = start(&mut client, "count", 1, settings)?;
    // In an hour, as PostgreSQL writes times for people.
    let says = format!(
        "select count(*) from (select substring(query from ': pausing until (.*)$')::timestamptz from pg_stat_activity
                                where datname = current_database() and state = 'idle' and query like 'lockstep: backfill run {run}, worker 1: %') a (until)
          where until between now() + interval '50 minutes' and now() + interval '61 minutes'"
    );
    let begun = Instant::now();
    while number(&mut client, &says)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "no worker says so");
        sleep(Duration::from_millis(10));
    }
    client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
    Ok(())
}

/// Workers take a moment to come: who looks meanwhile is not told to start some.
#[test]
fn workers_that_are_on_their_way_are_no_trouble() -> Result<()> {
    let mut client = counted("backfill_coming", 100)?;
    // They wait for the end of the transaction.
    client.batch_execute("begin")?;
    let run = start(&mut client, "count", 2, "{\"pause_ms\": 3600000}")?;
    assert_eq!(progress(&mut client, run, "held_by")?, "its workers start");
    client.batch_execute("commit")?;
    wait_until(
        &mut client,
        run,
        "cardinality(pids) = 2 and held_by is null",
    )?;
    // A missing line makes the test fail in the end.
    client.batch_execute("select pg_terminate_backend(pids[1]), pg_terminate_backend(pids[2]) from lockstep.backfill_progress")?;
    wait_until(&mut client, run, "held_by like 'no worker%'")?;
    client.batch_execute(&format!(
        "update lockstep_internal.backfill_run set workers_asked_at = clock_timestamp() - interval '6 seconds' where id = {run}"
    ))?;
    wait_until(&mut client, run, "held_by like 'no worker%'")
}
