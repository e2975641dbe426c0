//! Who is woken by a job, and who need not be.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;
use postgres::fallible_iterator::FallibleIterator;

use super::{claim, queue, runner};
use crate::concurrency;
use crate::database::cluster;
use crate::service_account::number;

#[test]
fn commit_wakes_and_rollback_does_not() -> Result<()> {
    let mut client = queue("job_notify")?;
    let mut listener = cluster()?.connect("job_notify")?;
    listener.batch_execute("listen lockstep_job")?;
    let waiting = runner(&mut listener)?;
    // It listens, but has not announced that it waits.
    client.batch_execute("select lockstep.enqueue_job('A')")?;
    assert_eq!(claim(&mut client, waiting, 1)?.len(), 1);
    listener.batch_execute("select 1")?;
    assert!(listener.notifications().iter().next()?.is_none());
    let waits = "select from lockstep.claim_jobs(1, '{A}', 1)";
    listener.batch_execute(waits)?;
    let mut heard = |client: &mut Client| concurrency::heard(&mut listener, client, "lockstep_job");
    client.batch_execute("begin; select lockstep.enqueue_job('A'); rollback")?;
    assert_eq!(heard(&mut client)?, 0);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        1
    );
    // It is not notified of other workers' jobs.
    client.batch_execute("select lockstep.enqueue_job('B')")?;
    assert_eq!(heard(&mut client)?, 0);
    client.batch_execute(
        "begin; savepoint s; select lockstep.enqueue_job('A'); rollback to s; commit",
    )?;
    assert_eq!(heard(&mut client)?, 0);
    client
        .batch_execute("select lockstep.enqueue_job('A', run_at => now() + interval '1 hour')")?;
    assert_eq!(heard(&mut client)?, 0);
    client.batch_execute("select lockstep.enqueue_job('A') from generate_series(1, 1000)")?;
    assert_eq!(heard(&mut client)?, 1);
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 5)?.len(), 5);
    assert_eq!(heard(&mut client)?, 0);
    client.batch_execute(&format!("select lockstep.stop_runner({runner})"))?;
    assert_eq!(heard(&mut client)?, 1);
    // With two-phase commit nobody is notified, but the transaction is not refused.
    client.batch_execute(
        "begin; select lockstep.enqueue_job('A'); prepare transaction 'job_notify'",
    )?;
    client.batch_execute("commit prepared 'job_notify'")?;
    assert_eq!(heard(&mut client)?, 0);
    // A job that ends makes room for another one where there is a limit.
    let runner = super::runner(&mut client)?;
    for (limit, woken) in [("'B', 1", 0), ("'A', 10000", 1)] {
        client.batch_execute(&format!(
            "select lockstep.limit_worker({limit}), lockstep.enqueue_job('A', concurrency_key => 'x')"
        ))?;
        heard(&mut client)?;
        let jobs = claim(&mut client, runner, 10_000)?;
        client.execute("select lockstep.complete_jobs($1, $2)", &[&runner, &jobs])?;
        assert_eq!(heard(&mut client)?, woken, "{limit}");
    }
    Ok(())
}

#[test]
fn whoever_gets_what_he_asks_for_does_not_wait() -> Result<()> {
    let mut client = queue("job_wait")?;
    let mut listener = cluster()?.connect("job_wait")?;
    listener.batch_execute("listen lockstep_job")?;
    let runner = runner(&mut listener)?;
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and objsubid = 19544
                     and database = (select oid from pg_database where datname = current_database())";
    for (jobs, waits) in [(0, 1), (1, 1), (2, 0), (3, 0), (0, 1)] {
        client.execute(
            "select lockstep.enqueue_job('A') from generate_series(1, $1)",
            &[&jobs],
        )?;
        claim(&mut listener, runner, 2)?;
        // One bit for each of the two workers.
        assert_eq!(number(&mut client, waiting)?, 2 * waits, "{jobs} jobs");
    }
    drop(listener);
    let begun = Instant::now();
    while number(&mut client, waiting)? > 0 {
        ensure!(begun.elapsed() < Duration::from_secs(60), "it still waits");
    }
    Ok(())
}
