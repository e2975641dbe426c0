//! Limits by concurrency key that are set, removed or restored while jobs are blocked for them.

use anyhow::Result;

use super::limit_key::{NONE, blocked, enqueue};
use super::{claim, queue, runner};
use crate::concurrency::heard;
use crate::database::cluster;
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// Whoever removes a limit sees what has been blocked since, and does not wait for those who hold such a job.
#[test]
fn a_limit_is_removed_for_all_jobs_that_it_blocks() -> Result<()> {
    let name = "limit_key_removed";
    let mut client = queue(name)?;
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("set lock_timeout = '10s'")?;
    let mut holder = cluster()?.connect(name)?;
    for (begin, hold) in [
        (
            "begin isolation level repeatable read; select from pg_class limit 1",
            "select 1",
        ),
        (
            "begin",
            "select lockstep.enqueue_job('A', '2', 'u', deduplicate => 'replace')",
        ),
    ] {
        client.batch_execute(
            "truncate lockstep_internal.job, lockstep_internal.worker_limit, lockstep_internal.worker_limit_use restart identity;
             select lockstep.limit_worker('A', 1, by => 'key')",
        )?;
        let runner = runner(&mut client)?;
        enqueue(&mut client, &["x"])?;
        assert_eq!(claim(&mut client, runner, 1)?, [1], "{hold}");
        client
            .batch_execute("select lockstep.enqueue_job('A', '1', 'u', concurrency_key => 'x')")?;
        other.batch_execute(begin)?;
        assert_eq!(claim(&mut client, runner, 1)?, NONE, "{hold}");
        assert_eq!(blocked(&mut client)?, 1, "{hold}");
        holder.batch_execute("begin")?;
        holder.batch_execute(hold)?;
        other.batch_execute("select lockstep.limit_worker('A', by => 'key'); commit")?;
        holder.batch_execute("commit")?;
        assert_eq!(claim(&mut client, runner, 1)?, [2], "{hold}");
        let left = "select (select count(*) from lockstep_internal.worker_limit) + (select count(*) from lockstep_internal.worker_limit_use)";
        assert_eq!(number(&mut client, left)?, 0, "{hold}");
    }
    Ok(())
}

/// One transaction blocks 1,000 jobs at most, and lets no more wait again; the next one goes on.
#[test]
fn many_jobs_of_a_full_key_are_blocked_in_steps() -> Result<()> {
    let name = "limit_key_steps";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 1, by => 'key');
         select count(lockstep.enqueue_job('A', concurrency_key => 'x')) from generate_series(1, 3501)",
    )?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 10)?, [1]);
    assert_eq!(blocked(&mut client)?, 1_000);
    // Who listens looks twice, and is told to go on.
    let mut listener = cluster()?.connect(name)?;
    listener.batch_execute("listen lockstep_job")?;
    assert_eq!(claim(&mut listener, runner, 10)?, NONE);
    assert_eq!(blocked(&mut client)?, 3_000);
    assert_eq!(heard(&mut listener, &mut client, "lockstep_job")?, 1);
    assert_eq!(claim(&mut listener, runner, 10)?, NONE);
    assert_eq!(blocked(&mut client)?, 3_500);
    assert_eq!(heard(&mut listener, &mut client, "lockstep_job")?, 0);
    client.batch_execute("select lockstep.limit_worker('A', by => 'key')")?;
    for left in [2_500, 1_500, 500, 0] {
        assert_eq!(claim(&mut client, runner, 10)?.len(), 10);
        assert_eq!(blocked(&mut client)?, left);
    }
    let limits = "select count(*) from lockstep_internal.worker_limit";
    assert_eq!(number(&mut client, limits)?, 0);
    Ok(())
}

/// A job is freed while somebody holds it: the end of that transaction lets it start.
#[test]
fn who_finds_its_key_at_a_blocked_job_wakes_runners() -> Result<()> {
    let name = "limit_key_wake";
    let mut client = queue(name)?;
    let mut listener = cluster()?.connect(name)?;
    listener.batch_execute("listen lockstep_job")?;
    client.batch_execute("select lockstep.limit_worker('A', 1, by => 'key')")?;
    let runner = runner(&mut client)?;
    // An insert that conflicts takes a number as well.
    for (again, job) in [("until_executing", 2), ("replace", 5)] {
        enqueue(&mut client, &["x"])?;
        client
            .batch_execute("select lockstep.enqueue_job('A', '1', 'u', concurrency_key => 'x')")?;
        assert_eq!(claim(&mut listener, runner, 9)?, [job - 1], "{again}");
        assert_eq!(blocked(&mut client)?, 1, "{again}");
        client.batch_execute(&format!(
            "begin; select lockstep.enqueue_job('A', '1', 'u', deduplicate => '{again}')"
        ))?;
        listener.execute(
            "select lockstep.complete_jobs($1, array[$2::bigint])",
            &[&runner, &(job - 1)],
        )?;
        assert_eq!(claim(&mut listener, runner, 9)?, NONE, "{again}");
        let mut noise = cluster()?.connect(name)?;
        heard(&mut listener, &mut noise, "lockstep_job")?;
        client.batch_execute("commit")?;
        assert_eq!(
            heard(&mut listener, &mut noise, "lockstep_job")?,
            1,
            "{again}"
        );
        assert_eq!(claim(&mut listener, runner, 9)?, [job], "{again}");
        listener.execute(
            "select lockstep.complete_jobs($1, array[$2::bigint])",
            &[&runner, &job],
        )?;
    }
    Ok(())
}

/// What ends is noted also where no limit is known, but not kept for ever.
#[test]
fn notes_of_keys_without_a_limit_are_removed() -> Result<()> {
    let mut client = queue("limit_key_notes")?;
    let notes = "select count(*) from lockstep_internal.worker_limit_use";
    let runner = runner(&mut client)?;
    enqueue(&mut client, &["x", "x", "y"])?;
    assert_eq!(claim(&mut client, runner, 9)?, [1, 2, 3]);
    client.execute("select lockstep.complete_jobs($1, '{1, 2, 3}')", &[&runner])?;
    assert_eq!(number(&mut client, notes)?, 2);
    client.batch_execute("select lockstep.limit_worker('A', 1, by => 'key')")?;
    assert_eq!(number(&mut client, notes)?, 0);
    client.batch_execute("insert into lockstep_internal.worker_limit_use select 'B', 'k' || n, 0, '-infinity' from generate_series(1, 10001) n")?;
    for removed in [10_000, 1, 0] {
        assert_eq!(number(&mut client, "select lockstep.sweep()")?, removed);
    }
    Ok(())
}

/// A restored database does not have what blocks its jobs.
#[test]
fn restored_jobs_are_blocked_no_more() -> Result<()> {
    let mut client = queue("limit_restored")?;
    client.batch_execute("select lockstep.limit_worker('A', 1, by => 'key')")?;
    let one = runner(&mut client)?;
    enqueue(&mut client, &["x", "x"])?;
    assert_eq!(claim(&mut client, one, 10)?, [1]);
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    client.batch_execute(
        "update lockstep_internal.home set database = 1; delete from lockstep_internal.job where id = 1; truncate lockstep_internal.worker_limit_use;
         select lockstep.release_restored()",
    )?;
    assert_eq!(claim(&mut client, one, 10)?, [2]);
    Ok(())
}

#[test]
fn a_limit_that_makes_no_sense_is_refused() -> Result<()> {
    let mut client = queue("limit_key_refused")?;
    for (call, code) in [
        ("limit_worker('A', 0, by => 'key')", "22023"),
        ("limit_worker('A', rate => 0, period => '1 hour')", "22023"),
        (
            "limit_worker('A', rate => 10001, period => '1 hour')",
            "22023",
        ),
        ("limit_worker('A', rate => 1)", "22023"),
        ("limit_worker('A', 1, period => '1 hour')", "22023"),
        ("limit_worker('A', rate => 1, period => '0.5 s')", "22023"),
        ("limit_worker('A', rate => 1, period => '-1 hour')", "22023"),
        ("limit_worker('A', rate => 1, period => '1 month')", "22023"),
        ("limit_worker('A', rate => 1, period => '32 days')", "22023"),
        ("limit_worker('A', 1, by => 'queue')", "22023"),
        ("limit_worker('A', 1, by => null)", "22004"),
        ("limit_worker('')", "42602"),
        ("enqueue_job('A', concurrency_key => '')", "22023"),
        (
            "enqueue_job('A', concurrency_key => repeat('x', 256))",
            "22023",
        ),
    ] {
        let error = error_of(&mut client, &format!("select lockstep.{call}"))?;
        assert_eq!(error.code().code(), code, "{call}: {error}");
    }
    for period in ["0.5 seconds", "32 days"] {
        let insert = format!(
            "insert into lockstep_internal.worker_limit (name, rate, period, key_rate, key_period) values ('A', 1, '1 hour', 1, '{period}')"
        );
        let error = error_of(&mut client, &insert)?;
        assert_eq!(error.code().code(), "23514", "{period}: {error}");
    }
    client.batch_execute(
        "select lockstep.limit_worker('A', 10000, 10000, '31 days', by => 'key'); select lockstep.enqueue_job('A', concurrency_key => repeat('ä', 255))",
    )?;
    let limits = "select count(*) from lockstep.worker_limits where (worker, by, concurrency, rate, period) = ('A', 'key', 10000, 10000, '31 days')";
    assert_eq!(number(&mut client, limits)?, 1);
    Ok(())
}
