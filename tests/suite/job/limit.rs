//! Limits of workers over all runners, and jobs that are cancelled.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use postgres::fallible_iterator::FallibleIterator;

use crate::database::cluster;
use crate::job::{claim, queue, runner};
use crate::service_account::number;
use crate::surface::refusal::error_of;

const NONE: [i64; 0] = [];

#[test]
fn a_limit_holds_over_all_runners() -> Result<()> {
    let mut client = queue("limit_runners")?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 2);
         select lockstep.enqueue_job('A') from generate_series(1, 5); select lockstep.enqueue_job('B', priority => 1)",
    )?;
    let one = runner(&mut client)?;
    let two = runner(&mut client)?;
    assert_eq!(claim(&mut client, one, 1)?, [1]);
    // Other workers go on.
    assert_eq!(claim(&mut client, two, 10)?, [2, 6]);
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    client.execute("select lockstep.complete_jobs($1, '{1}')", &[&one])?;
    assert_eq!(claim(&mut client, two, 10)?, [3]);
    // Whoever has failed, was given back, was cancelled or has lost its runner does not count.
    client.execute("select lockstep.fail_job($1, 2, 'no', '1 hour')", &[&two])?;
    assert_eq!(claim(&mut client, one, 10)?, [4]);
    client.execute("select lockstep.release_jobs($1, '{4}')", &[&one])?;
    assert_eq!(claim(&mut client, two, 10)?, [4]);
    client.batch_execute("select lockstep.cancel_job(4)")?;
    assert_eq!(claim(&mut client, one, 10)?, [5]);
    super::lapse(&mut client, two)?;
    assert_eq!(claim(&mut client, one, 10)?, [3, 6]);
    client.batch_execute("select lockstep.enqueue_job('A') from generate_series(1, 3)")?;
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    client.batch_execute("select lockstep.limit_worker('A', 4)")?;
    assert_eq!(claim(&mut client, one, 10)?, [7, 8]);
    client.batch_execute("select lockstep.limit_worker('A', 1)")?;
    assert_eq!(claim(&mut client, one, 10)?, NONE);
    client.batch_execute("select lockstep.limit_worker('A', null)")?;
    assert_eq!(claim(&mut client, one, 10)?, [9]);
    Ok(())
}

/// A claim that has not committed is not seen by others, who neither wait for it nor exceed the limit.
#[test]
fn claims_at_the_same_time_do_not_exceed_a_limit() -> Result<()> {
    let name = "limit_claims";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 1);
         select lockstep.enqueue_job('A') from generate_series(1, 2); select lockstep.enqueue_job('B')",
    )?;
    let one = runner(&mut client)?;
    let two = runner(&mut client)?;
    let mut other = cluster()?.connect(name)?;
    let mut frozen = cluster()?.connect(name)?;
    other.batch_execute("set lock_timeout = '10s'")?;
    frozen.batch_execute(
        "set lock_timeout = '10s'; begin isolation level repeatable read; select from lockstep.worker_status",
    )?;
    client.batch_execute("begin")?;
    assert_eq!(claim(&mut client, one, 1)?, [1]);
    // The limited worker is left to the claim that has locked it, even if another job comes before the one that it has claimed.
    other.batch_execute("select lockstep.enqueue_job('A', priority => -1)")?;
    assert_eq!(claim(&mut other, two, 9)?, [3]);
    client.batch_execute("commit")?;
    assert_eq!(claim(&mut other, two, 9)?, NONE);
    // Nor does an old snapshot.
    let three = runner(&mut frozen)?;
    let claim = format!("select count(*) from lockstep.claim_jobs({three}, '{{A}}', 9)");
    assert_eq!(number(&mut frozen, &claim)?, 0);
    Ok(())
}

/// The next job of a worker with a limit starts when one has ended, not at the next look.
#[test]
fn who_waits_is_woken_when_there_is_room() -> Result<()> {
    let name = "limit_wake";
    let mut client = queue(name)?;
    client.batch_execute(
        "select lockstep.limit_worker('A', 1); select lockstep.enqueue_job('A') from generate_series(1, 4)",
    )?;
    let one = runner(&mut client)?;
    let mut listener = cluster()?.connect(name)?;
    listener.batch_execute("listen lockstep_job")?;
    let two = runner(&mut listener)?;
    for (job, end) in [
        (1, "complete_jobs(1, '{1}')"),
        (2, "fail_job(1, 2, 'no')"),
        (3, "cancel_job(3)"),
    ] {
        assert_eq!(claim(&mut client, one, 1)?, [job]);
        assert_eq!(claim(&mut listener, two, 1)?, NONE);
        client.batch_execute(&format!("select lockstep.{end}"))?;
        let mut notifications = listener.notifications();
        let mut heard = notifications.timeout_iter(Duration::from_secs(60));
        heard.next()?.with_context(|| format!("after {end}"))?;
    }
    assert_eq!(claim(&mut listener, two, 1)?, [4]);
    Ok(())
}

#[test]
fn a_limit_is_a_number_or_none() -> Result<()> {
    let mut client = queue("limit_refused")?;
    for (arguments, code) in [
        ("'A', 0", "22023"),
        ("'A', -1", "22023"),
        ("'A', 10001", "22023"),
        ("'', 1", "42602"),
        ("null, 1", "22004"),
    ] {
        let error = error_of(
            &mut client,
            &format!("select lockstep.limit_worker({arguments})"),
        )?;
        assert_eq!(error.code().code(), code, "{arguments}: {error}");
    }
    client.batch_execute("select lockstep.limit_worker('A', null)")?;
    Ok(())
}

#[test]
fn a_cancelled_job_is_gone_and_its_work_undone() -> Result<()> {
    let mut client = queue("job_cancel")?;
    client.batch_execute(
        "create table done (job bigint); select lockstep.enqueue_job('A') from generate_series(1, 3);
         select lockstep.define_worker('B', 0); select lockstep.enqueue_job('A', run_at => now() + interval '1 hour'); select lockstep.enqueue_job('B')",
    )?;
    let runner = runner(&mut client)?;
    assert_eq!(claim(&mut client, runner, 1)?, [1]);
    let refused = |client: &mut postgres::Client, call: &str, code: &str| -> Result<()> {
        let error = error_of(client, &format!("select lockstep.{call}"))?;
        assert_eq!(error.code().code(), code, "{call}: {error}");
        Ok(())
    };
    refused(&mut client, "discard_job(1)", "55000")?;
    for (job, was) in [(1, "running"), (2, "waiting"), (4, "waiting")] {
        let row = client.query_one("select lockstep.cancel_job($1)", &[&i64::from(job)])?;
        assert_eq!(row.get::<_, &str>(0), was, "{job}");
        refused(&mut client, &format!("cancel_job({job})"), "42704")?;
    }
    // The runner cannot say that it is done, or that it is to be tried again.
    let work = format!(
        "begin; insert into done values (1); select lockstep.complete_job({runner}, 1); commit"
    );
    ensure!(client.batch_execute(&work).is_err());
    client.batch_execute("rollback")?;
    assert_eq!(number(&mut client, "select count(*) from done")?, 0);
    refused(
        &mut client,
        &format!("fail_job({runner}, 1, 'no')"),
        "55000",
    )?;
    assert_eq!(claim(&mut client, runner, 9)?, [3, 5]);
    // A dead job is discarded.
    client.execute("select lockstep.fail_job($1, 5, 'no')", &[&runner])?;
    refused(&mut client, "cancel_job(5)", "42704")?;
    client.batch_execute("select lockstep.discard_job(5)")?;
    Ok(())
}
