//! Many jobs, many runners, and snapshots that nobody ends: claims find work, and read as much as at first.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::Client;

use super::pages::pages;
use super::{queue, runner};
use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::service_account::number;

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

/// What claims of a worker with a limit for keys read beside an old snapshot grows with the jobs that are done: by less than a page for each.
#[test]
fn a_done_job_of_a_limited_key_costs_claims_little() -> Result<()> {
    let name = "job_key_snapshot";
    let mut client = queue(name)?;
    client.batch_execute(
        "alter table lockstep_internal.job set (autovacuum_enabled = off);
         alter table lockstep_internal.worker_limit_use set (autovacuum_enabled = off);
         select lockstep.limit_worker('A', 20, by => 'key'), lockstep.limit_worker('B', 20, by => 'key')",
    )?;
    let runner = runner(&mut client)?;
    let enqueue = |client: &mut Client, jobs: i64| {
        client.batch_execute(&format!(
            "select count(lockstep.enqueue_job('A', concurrency_key => 'k' || n % 100)) from generate_series(1, {jobs}) n"
        ))
    };
    enqueue(&mut client, 500)?;
    let before = pages_of_claims(&mut client, runner)?;
    let mut reader = cluster()?.connect(name)?;
    reader.batch_execute("begin isolation level repeatable read; select from pg_class limit 1")?;
    let done = 10_000;
    enqueue(&mut client, done)?;
    client.batch_execute(&format!(
        "do $$
         begin
           for i in 1 .. 200 loop
             perform lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A, B}}', 100)));
             commit;
           end loop;
         end $$"
    ))?;
    enqueue(&mut client, 500)?;
    let after = pages_of_claims(&mut client, runner)?;
    println!("{before} pages, then {after}");
    ensure!(after - before < done, "{after} pages instead of {before}");
    Ok(())
}

/// A queue in which 50,000 jobs are done beside a snapshot that stays open, and 100 wait; and the session that keeps the snapshot.
fn queue_beside_a_snapshot(name: &str) -> Result<(Client, Client)> {
    let mut client = queue(name)?;
    client.batch_execute("alter table lockstep_internal.job set (autovacuum_enabled = off)")?;
    let mut reader = cluster()?.connect(name)?;
    reader.batch_execute("begin isolation level repeatable read; select from pg_class limit 1")?;
    let runner = runner(&mut client)?;
    for _ in 0..5 {
        enqueue(&mut client, "A", 10_000)?;
        client.batch_execute(&format!(
            "select lockstep.complete_jobs({runner}, array(select job from lockstep.claim_jobs({runner}, '{{A}}', 10000)))"
        ))?;
    }
    enqueue(&mut client, "A", 100)?;
    Ok((client, reader))
}

/// The ways in which a job comes to wait before those that a session has found: what another session does before and after it
/// looks, with `{runner}` as its runner and `{first}` as the first waiting job.
const WAYS: [(&str, &str, &str); 12] = [
    (
        "priority",
        "",
        "select lockstep.enqueue_job('A', priority => -1)",
    ),
    (
        "earlier time",
        "select lockstep.enqueue_job('A', run_at => now() + interval '1 day')",
        "update lockstep_internal.job set run_at = now() - interval '1 day' where status = 'scheduled'",
    ),
    (
        "late commit",
        "begin; select lockstep.enqueue_job('A', priority => -1)",
        "commit",
    ),
    (
        "late commit of a transaction that had written nothing",
        "begin; select from pg_class limit 1",
        "select lockstep.enqueue_job('A', priority => -1); commit",
    ),
    (
        "release",
        "select lockstep.claim_jobs({runner}, '{A}')",
        "select lockstep.release_jobs({runner}, array[{first}])",
    ),
    (
        "lost answer",
        "select lockstep.claim_jobs({runner}, '{A}')",
        "select lockstep.release_other_jobs({runner}, '{}')",
    ),
    (
        "stopped runner",
        "select lockstep.claim_jobs({runner}, '{A}')",
        "select lockstep.stop_runner({runner})",
    ),
    (
        "lost runner",
        "select lockstep.claim_jobs({runner}, '{A}')",
        "update lockstep_internal.job_runner set leased_until = '-infinity' where id = {runner}",
    ),
    (
        "other arguments",
        "select lockstep.enqueue_job('A', unique_key => 'k')",
        "select lockstep.enqueue_job('A', unique_key => 'k', deduplicate => 'replace', priority => -1)",
    ),
    (
        "rollback of a claim",
        "begin; select lockstep.claim_jobs({runner}, '{A}')",
        "rollback",
    ),
    (
        "freed by a claim",
        "select lockstep.limit_worker('A', 1, by => 'key'); select lockstep.enqueue_job('A', priority => -2, concurrency_key => 'x') from generate_series(1, 2);
         select lockstep.claim_jobs({runner}, '{A}')",
        "select lockstep.complete_jobs({runner}, array(select id from lockstep_internal.job where runner = {runner}));
         select lockstep.enqueue_job('A', priority => -3); select lockstep.claim_jobs({runner}, '{A}')",
    ),
    (
        "freed when a limit is removed",
        "select lockstep.enqueue_job('A', priority => -4, concurrency_key => 'y') from generate_series(1, 2);
         select lockstep.claim_jobs({runner}, '{A}')",
        "select lockstep.limit_worker('A', by => 'key'); select lockstep.enqueue_job('A', priority => -5);
         select lockstep.claim_jobs({runner}, '{A}')",
    ),
];

/// What comes before those that a session has found is claimed first, although the session does not read again what is done.
#[test]
fn jobs_before_those_that_are_done_are_claimed_first() -> Result<()> {
    let name = "job_before_done";
    let (mut client, _reader) = queue_beside_a_snapshot(name)?;
    let own = runner(&mut client)?;
    let claim = format!("select job from lockstep.claim_jobs({own}, '{{A}}')");
    number(&mut client, &claim)?;
    for (way, before, after) in WAYS {
        let mut other = cluster()?.connect(name)?;
        let first = number(
            &mut other,
            "select id from lockstep_internal.job where status = 'waiting' order by priority, run_at, id limit 1",
        )?;
        let runner = runner(&mut other)?;
        let act = |text: &str| {
            text.replace("{runner}", &runner.to_string())
                .replace("{first}", &first.to_string())
        };
        other.batch_execute(&act(before))?;
        // The second look sees that transactions have ended which began later than the other session's. One of them may have to
        // read the catalogs again.
        let mut read = Vec::new();
        for _ in 0..3 {
            read.push(pages(&mut client, &claim)?);
        }
        ensure!(read.iter().min() < Some(&300), "{way}: {read:?} pages");
        other.batch_execute(&act(after))?;
        let wanted = number(
            &mut other,
            "select id from lockstep_internal.job where status = 'waiting' or status = 'scheduled' and run_at <= now() or runner in (
               select id from lockstep_internal.job_runner where leased_until < now()) order by priority, run_at, id limit 1",
        )?;
        let found = number(&mut client, &claim)?;
        ensure!(found == wanted, "{way}: {found} instead of {wanted}");
    }
    Ok(())
}

/// What a session has found in a transaction that is undone counts for nothing.
#[test]
fn jobs_whose_claim_is_undone_are_claimed_again() -> Result<()> {
    let name = "job_claim_undone";
    let (mut client, _reader) = queue_beside_a_snapshot(name)?;
    let own = runner(&mut client)?;
    let claim = format!("select job from lockstep.claim_jobs({own}, '{{A}}')");
    for (begin, undo, end) in [
        ("begin", "rollback", "begin"),
        ("begin; savepoint s", "rollback to s", ""),
        (
            "begin",
            "prepare transaction 'p'; rollback prepared 'p'",
            "begin",
        ),
        ("begin; savepoint s", "rollback to s; release s", ""),
    ] {
        client.batch_execute(begin)?;
        let first = number(&mut client, &claim)?;
        let second = number(&mut client, &claim)?;
        ensure!(first < second, "{undo}: {first}, then {second}");
        for statement in undo.split("; ") {
            client.batch_execute(statement)?;
        }
        client.batch_execute(end)?;
        let again = number(&mut client, &claim)?;
        ensure!(again == first, "{undo}: {again} instead of {first}");
        client.batch_execute("commit")?;
    }
    Ok(())
}

/// Neither does what comes after an urgent job, with a limit or a claim that the job fills alone.
#[test]
fn an_urgent_job_costs_no_more_than_itself() -> Result<()> {
    let name = "job_urgent";
    let (mut client, _reader) = queue_beside_a_snapshot(name)?;
    let own = runner(&mut client)?;
    let claim = format!("select job from lockstep.claim_jobs({own}, '{{A}}')");
    number(&mut client, &claim)?;
    let complete = format!(
        "select lockstep.complete_jobs({own}, array(select id from lockstep_internal.job where runner = {own}))"
    );
    for (limit, urgent) in [("null", 5), ("3", 1)] {
        client.batch_execute(&format!("select lockstep.limit_worker('A', {limit})"))?;
        let claims = |client: &mut Client, count| -> Result<Vec<i64>> {
            let mut read = Vec::new();
            for _ in 0..count {
                client.batch_execute(&complete)?;
                read.push(pages(client, &claim)?);
            }
            Ok(read)
        };
        let before = claims(&mut client, 4)?;
        client.batch_execute(&format!(
            "select lockstep.enqueue_job('A', priority => -1) from generate_series(1, {urgent})"
        ))?;
        let after = claims(&mut client, urgent + 1)?;
        let most = before.iter().min().copied().unwrap_or_default() + 250;
        ensure!(
            after.iter().all(|pages| *pages < most),
            "limit {limit}: {after:?} pages, before {before:?}"
        );
    }
    Ok(())
}

/// The transactions of another server say nothing about when a job was queued here.
#[test]
fn restored_jobs_are_claimed_by_those_who_looked_before() -> Result<()> {
    let (mut client, _reader) = queue_beside_a_snapshot("job_restored")?;
    let own = runner(&mut client)?;
    let all = format!(
        "select lockstep.complete_jobs({own}, array(select job from lockstep.claim_jobs({own}, '{{A}}', 1000)))"
    );
    client.batch_execute(&all)?;
    client.batch_execute(&all)?;
    // As a restore would.
    client.batch_execute(
        "insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, queued_by)
           values ('A', '{}', -1, '2020-01-01', 'waiting', 3, true, '3'), ('A', '{}', -1, '2020-01-01', 'waiting', 3, true, '1000000000000');
         insert into lockstep_internal.home (database) values (1)",
    )?;
    let claim = format!("select count(*) from lockstep.claim_jobs({own}, '{{A}}', 10)");
    assert_eq!(number(&mut client, &claim)?, 0);
    client.batch_execute("select lockstep.release_restored()")?;
    assert_eq!(number(&mut client, &claim)?, 2);
    let foreign = "select count(*) from lockstep_internal.job where queued_by not between '4' and pg_current_xact_id()";
    assert_eq!(number(&mut client, foreign)?, 0);
    Ok(())
}

/// A session that begins later does not read again what others have.
#[test]
fn places_are_shared() -> Result<()> {
    let name = "job_place_shared";
    let (mut client, _reader) = queue_beside_a_snapshot(name)?;
    let runner = runner(&mut client)?;
    let claim = format!("select * from lockstep.claim_jobs({runner}, '{{A}}', 10)");
    let mut all = Vec::new();
    for _ in 0..2 {
        let mut session = cluster()?.connect(name)?;
        // Without what reading the catalogs takes.
        session.batch_execute(&format!("select lockstep.claim_jobs({runner}, '{{B}}')"))?;
        all.push(pages(&mut session, &claim)?);
    }
    ensure!(all[0] > 700 && all[1] < 500, "{all:?} pages");
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
