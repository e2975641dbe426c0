//! Runners that are lost, and what becomes of their jobs.

use anyhow::Result;

use super::{claim, lapse, queue, runner};
use crate::service_account::number;
use crate::surface::refusal::error_of;

/// Its clock was two days ahead, and then it was lost.
#[test]
fn a_clock_that_was_ahead_keeps_no_jobs() -> Result<()> {
    let mut client = queue("job_clock")?;
    client.batch_execute("select lockstep.enqueue_job('A')")?;
    let first = runner(&mut client)?;
    let second = runner(&mut client)?;
    assert_eq!(claim(&mut client, first, 1)?, [1]);
    client.batch_execute(&format!(
        "update lockstep_internal.job_runner set leased_until = leased_until + interval '2 days' where id = {first}"
    ))?;
    // It may only have been busy: it has as much time as after a heartbeat.
    assert_eq!(claim(&mut client, second, 10)?, [0_i64; 0]);
    let ahead = "select count(*) from lockstep_internal.job_runner where leased_until > clock_timestamp() + lease_for";
    assert_eq!(number(&mut client, ahead)?, 0);
    lapse(&mut client, first)?;
    assert_eq!(claim(&mut client, second, 10)?, [1]);
    Ok(())
}

#[test]
fn lost_runner_leaves_its_jobs_to_others() -> Result<()> {
    let mut client = queue("job_lost")?;
    client.batch_execute("select lockstep.enqueue_job('A') from generate_series(1, 3)")?;
    let first = runner(&mut client)?;
    let second = runner(&mut client)?;
    assert_eq!(claim(&mut client, first, 2)?, [1, 2]);
    assert_eq!(claim(&mut client, second, 10)?, [3]);
    // It cannot touch another runner's jobs.
    for call in ["complete_jobs", "release_jobs"] {
        let refused: Vec<i64> = client
            .query_one(&format!("select lockstep.{call}($1, '{{3}}')"), &[&first])?
            .get(0);
        assert_eq!(refused, [3], "{call}");
    }
    let error = error_of(
        &mut client,
        &format!("select lockstep.fail_job({first}, 3, 'no')"),
    )?;
    assert_eq!(error.code().code(), "55000", "{error}");
    lapse(&mut client, first)?;
    // Nobody has taken over: a call of the runner itself keeps it alive.
    client.batch_execute(&format!("select lockstep.runner_heartbeat({first})"))?;
    assert_eq!(claim(&mut client, second, 10)?, [0_i64; 0]);
    lapse(&mut client, first)?;
    assert_eq!(claim(&mut client, second, 10)?, [1, 2]);
    for call in [
        format!("lockstep.runner_heartbeat({first})"),
        format!("lockstep.claim_jobs({first}, '{{A}}')"),
        format!("lockstep.complete_job({first}, 1)"),
        format!("lockstep.fail_job({first}, 1, 'late')"),
    ] {
        let error = error_of(&mut client, &format!("select {call}"))?;
        assert_eq!(error.code().code(), "55000", "{call}: {error}");
    }
    let refused_jobs: Vec<i64> = client
        .query_one("select lockstep.complete_jobs($1, '{2, 1}')", &[&first])?
        .get(0);
    assert_eq!(refused_jobs, [2, 1]);
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.job where losses = 1"
        )?,
        2
    );
    let refused_jobs: Vec<i64> = client
        .query_one(
            "select lockstep.complete_jobs($1, '{3, 2, 1, 1}')",
            &[&second],
        )?
        .get(0);
    assert_eq!(refused_jobs, [0_i64; 0]);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.job")?,
        0
    );
    Ok(())
}

/// The answer to a claim was lost with the connection: the runner names the jobs it knows.
#[test]
fn jobs_that_a_runner_does_not_know_of_are_given_back() -> Result<()> {
    let mut client = queue("job_unknown")?;
    client.batch_execute("select lockstep.enqueue_job('A') from generate_series(1, 5)")?;
    let first = runner(&mut client)?;
    let second = runner(&mut client)?;
    assert_eq!(claim(&mut client, first, 4)?, [1, 2, 3, 4]);
    assert_eq!(claim(&mut client, second, 1)?, [5]);
    let released = format!("select lockstep.release_other_jobs({first}, '{{2, 4, 5, null}}')");
    assert_eq!(number(&mut client, &released)?, 2);
    assert_eq!(number(&mut client, &released)?, 0);
    assert_eq!(claim(&mut client, second, 10)?, [1, 3]);
    assert_eq!(
        number(
            &mut client,
            "select sum(failures + losses) from lockstep_internal.job"
        )?,
        0
    );
    client.execute("select lockstep.stop_runner($1)", &[&first])?;
    let error = error_of(&mut client, &released)?;
    assert_eq!(error.code().code(), "55000", "{error}");
    Ok(())
}

#[test]
fn job_that_takes_runner_after_runner_along_is_dead() -> Result<()> {
    let mut client = queue("job_poison")?;
    client.batch_execute(
        "select lockstep.define_worker('A', 0, false); select lockstep.enqueue_job('A')",
    )?;
    let mut losses = 0;
    loop {
        let lost = runner(&mut client)?;
        if claim(&mut client, lost, 1)?.is_empty() {
            break;
        }
        losses += 1;
        lapse(&mut client, lost)?;
    }
    assert_eq!(losses, 20);
    let row = client.query_one("select losses, last_error from lockstep.dead_jobs", &[])?;
    assert_eq!(row.get::<_, i32>(0), 20);
    assert!(
        row.get::<_, &str>(1)
            .contains("the lease of its runner test ended")
    );
    Ok(())
}
