//! Many jobs, many runners, and snapshots that nobody ends: claims find work, and read as much as at first.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::{Client, SimpleQueryMessage};
use serde_json::Value;

use super::{queue, runner};
use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::service_account::number;

/// The pages that a statement reads; what it does stays done.
fn pages(client: &mut Client, statement: &str) -> Result<i64> {
    let lines = client.simple_query(&format!(
        "explain (analyze, buffers, format json) {statement}"
    ))?;
    let text: String = lines
        .iter()
        .filter_map(|line| match line {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    let plan: Value = serde_json::from_str(&text)?;
    let read = |key: &str| plan[0]["Plan"][key].as_i64().unwrap_or_default();
    Ok(read("Shared Hit Blocks") + read("Shared Read Blocks"))
}

fn enqueue(client: &mut Client, worker: &str, jobs: i64) -> Result<()> {
    client.batch_execute(&format!(
        "select count(lockstep.enqueue_job('{worker}')) from generate_series(1, {jobs})"
    ))?;
    Ok(())
}

/// The median of what some claims of ten read.
fn pages_of_claims(client: &mut Client, runner: i64) -> Result<i64> {
    let claim = format!("select * from lockstep.claim_jobs({runner}, '{{A, B}}', 10)");
    client.batch_execute(&claim)?;
    let mut all = Vec::new();
    for _ in 0..11 {
        all.push(pages(client, &claim)?);
    }
    all.sort_unstable();
    Ok(all[5])
}

#[test]
fn claims_beside_an_old_snapshot_read_no_more() -> Result<()> {
    let name = "job_old_snapshot";
    let mut client = queue(name)?;
    client.batch_execute("alter table lockstep_internal.job set (autovacuum_enabled = off)")?;
    let runner = runner(&mut client)?;
    enqueue(&mut client, "A", 500)?;
    enqueue(&mut client, "B", 500)?;
    let before = pages_of_claims(&mut client, runner)?;
    let mut reader = cluster()?.connect(name)?;
    reader.batch_execute("begin isolation level repeatable read; select from pg_class limit 1")?;
    // Jobs that are done, the last ones of another worker.
    for (worker, jobs) in [("A", 40_000), ("B", 10_000)] {
        enqueue(&mut client, worker, jobs)?;
        client.batch_execute(&format!(
            "do $$
             declare jobs bigint[];
             begin
               loop
                 jobs := array(select job from lockstep.claim_jobs({runner}, '{{A, B}}', 10000));
                 exit when jobs = '{{}}';
                 perform lockstep.complete_jobs({runner}, jobs);
                 commit;
               end loop;
             end $$"
        ))?;
    }
    enqueue(&mut client, "A", 500)?;
    let after = pages_of_claims(&mut client, runner)?;
    println!("{before} pages, then {after}");
    ensure!(2 * after <= 3 * before, "{after} pages instead of {before}");
    reader.batch_execute("commit")?;
    Ok(())
}

/// What comes before all others is found although the session begins to look later.
#[test]
fn jobs_before_those_that_are_done_are_found() -> Result<()> {
    let name = "job_before_done";
    let mut client = queue(name)?;
    client.batch_execute("alter table lockstep_internal.job set (autovacuum_enabled = off)")?;
    let runner = runner(&mut client)?;
    let mut reader = cluster()?.connect(name)?;
    reader.batch_execute("begin isolation level repeatable read; select from pg_class limit 1")?;
    enqueue(&mut client, "A", 50_000)?;
    client.batch_execute(&format!(
        "select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 10000)));
         select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 10000)));
         select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 10000)));
         select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 10000)));
         select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 9990)))"
    ))?;
    let claim = format!("select count(*) from lockstep.claim_jobs({runner}, '{{A}}', 5)");
    assert_eq!(number(&mut client, &claim)?, 5);
    client.batch_execute(
        "select lockstep.enqueue_job('A', priority => -7, args => '[\"urgent\"]')",
    )?;
    // At once if nothing else is left, else within a part of a second.
    let mut claimed = Vec::new();
    for most in [3, 3] {
        let rows = client.query(
            "select job, args::text from lockstep.claim_jobs($1, '{A}', $2)",
            &[&runner, &most],
        )?;
        claimed.extend(rows.iter().map(|row| row.get::<_, String>(1)));
    }
    ensure!(claimed.len() == 6, "{claimed:?}");
    ensure!(
        claimed.iter().any(|args| args.contains("urgent")),
        "{claimed:?}"
    );
    Ok(())
}

#[test]
fn as_many_runners_as_there_are_jobs_find_one_each() -> Result<()> {
    let name = "job_many_runners";
    let mut client = queue(name)?;
    enqueue(&mut client, "A", 32)?;
    // None of them commits.
    let mut sessions = Vec::new();
    for place in 0..32 {
        let mut session = cluster()?.connect(name)?;
        let runner = runner(&mut session)?;
        session.batch_execute("begin")?;
        let claim = format!("select count(*) from lockstep.claim_jobs({runner}, '{{A}}')");
        ensure!(
            number(&mut session, &claim)? == 1,
            "claimer {place} finds nothing"
        );
        sessions.push(session);
    }
    Ok(())
}

#[test]
fn a_key_that_is_just_taken_keeps_its_dead_job_alone() -> Result<()> {
    let name = "job_retry_taken";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.enqueue_job('A', unique_key => 'k' || n) from generate_series(1, 3000) n;
         update lockstep_internal.job set status = 'dead', died_at = now();
         select lockstep.enqueue_job('A', unique_key => 'k' || n) from generate_series(1, 10) n;
         update lockstep_internal.job set status = 'dead', died_at = now() where status <> 'dead'",
    )?;
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin; select lockstep.enqueue_job('A', unique_key => 'k1500')")?;
    let mut session = cluster()?.connect(name)?;
    let pid = pid_of(&mut session)?;
    let retried = thread::scope(|scope| -> Result<i64> {
        let retrying =
            scope.spawn(move || number(&mut session, "select lockstep.retry_dead_jobs()"));
        ensure!(settle(&retrying, &mut client, pid)?, "it does not wait");
        other.batch_execute("commit")?;
        retrying.join().map_err(|_| anyhow!("it panicked"))?
    })
    .context("it failed")?;
    // Neither that one, nor the second of each key.
    assert_eq!(retried, 2_999);
    Ok(())
}
