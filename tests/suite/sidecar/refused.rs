//! Calls of the queue that the database refuses, while the session works.

use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lockstep_tests::cluster::SUPERUSER;
use nix::sys::signal::Signal;

use super::work::{PUSH, Sidecar, enqueue, start, wait_for, with_integration, work};
use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::service_account::number;

/// Waits for it to end by itself.
fn wait(child: &mut Child) -> Result<()> {
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            bail!("it does not end");
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The database of that name, for the role of that name.
fn address_of(name: &str) -> Result<String> {
    let address = cluster()?.address(name);
    Ok(address.replace(&format!("user={SUPERUSER}"), &format!("user={name}")))
}

/// Whoever starts `work` with a wrong role sees it at once, and not for ever.
#[test]
fn a_first_claim_that_is_refused_ends_it() -> Result<()> {
    let name = "work_refused";
    let mut client = with_integration(name)?;
    client.batch_execute(&format!(
        "create role {name} login; grant usage on schema lockstep to {name};
         grant execute on function lockstep.start_runner, lockstep.runner_heartbeat, lockstep.stop_runner to {name}"
    ))?;
    let address = address_of(name)?;
    for arguments in [&[][..], &["--until-empty"]] {
        let mut sidecar = Sidecar::start(&address, arguments)?;
        wait(&mut sidecar.0)?;
        let (status, log) = sidecar.end()?;
        assert_eq!(status, Some(2), "{log}");
        let told = log.matches("permission denied for function claim_jobs");
        assert_eq!(told.count(), 1, "{log}");
    }
    let left = "select count(*) from lockstep_internal.job_runner";
    assert_eq!(number(&mut client, left)?, 0);
    Ok(())
}

/// One job whose report the database refuses holds up neither the others nor the end.
#[test]
fn a_job_that_cannot_be_completed_holds_up_no_other() -> Result<()> {
    for (name, poisoned, event) in [
        ("work_poisoned_done", PUSH, "delete"),
        ("work_poisoned_failed", "[]", "update"),
    ] {
        let mut client = with_integration(name)?;
        let refuses = match event {
            "delete" => "true",
            _ => "new.failures > old.failures",
        };
        client.batch_execute(&format!(
            "create function refuse() returns trigger language plpgsql as
               $$begin if old.id = 1 and {refuses} then raise 'poisoned' using errcode = 'data_exception'; end if; return coalesce(new, old); end$$;
             create trigger refuse before {event} on lockstep_internal.job for each row execute function refuse()"
        ))?;
        enqueue(&mut client, "ProjectServiceWorker", poisoned)?;
        for _ in 0..5 {
            enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
        }
        enqueue(&mut client, "ProjectServiceWorker", "{}")?;
        let mut sidecar = start(name, &["--grace", "86400"])?;
        wait_for(
            &mut client,
            "all other jobs to be done or reported",
            "select count(*) = 2 and bool_and(id = 1 or failures = 1) from lockstep_internal.job",
        )?;
        sidecar.signal(Signal::SIGTERM)?;
        wait(&mut sidecar.0)?;
        let (status, log) = sidecar.end()?;
        assert_eq!(status, Some(0), "{log}");
        ensure!(
            log.contains("poisoned") && !log.contains("no session"),
            "{log}"
        );
        ensure!(log.contains("given_back=1"), "{log}");
        // A batch ends as well.
        let log = work(name, &[])?;
        ensure!(log.contains("given_back=1"), "{log}");
    }
    Ok(())
}

/// jsonb has numbers that no double holds. Whoever may enqueue must not stop the others' jobs with one.
#[test]
fn a_job_that_cannot_be_read_fails_alone() -> Result<()> {
    let name = "work_unreadable";
    let mut client = with_integration(name)?;
    enqueue(&mut client, "ProjectServiceWorker", "[1, {\"n\": 1e400}]")?;
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    let log = work(name, &[])?;
    ensure!(log.contains("[integration id, data]"), "{log}");
    let left = "select array_agg(id::text || ' failed ' || failures) from lockstep_internal.job";
    let left: Vec<String> = client.query_one(left, &[])?.get(0);
    assert_eq!(left, ["1 failed 1"], "{log}");
    Ok(())
}

/// A right that is missing for a while delays jobs, and ends neither the session nor the program.
#[test]
fn a_call_that_is_refused_for_a_while_is_made_again() -> Result<()> {
    let name = "work_refused_later";
    let mut client = with_integration(name)?;
    client.batch_execute(&format!("create role {name} login in role lockstep_app"))?;
    let sidecar = Sidecar::start(&address_of(name)?, &[])?;
    // The session that claims, whichever of its calls was the last.
    let sessions =
        "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                       and query ~ '(claim|release_other|complete)_jobs'";
    let claims = format!("{sessions} and query ~ 'claim_jobs'");
    wait_for(
        &mut client,
        "a claim",
        &format!("select exists (select {claims})"),
    )?;
    let session = format!("select max(pid)::bigint {sessions}");
    let before = number(&mut client, &session)?;
    client.batch_execute("revoke execute on function lockstep.claim_jobs from lockstep_app")?;
    let now: String = client
        .query_one("select clock_timestamp()::text", &[])?
        .get(0);
    let refused =
        format!("select exists (select {claims} and query_start > '{now}' and state = 'idle')");
    enqueue(&mut client, "ProjectServiceWorker", PUSH)?;
    wait_for(&mut client, "a claim that is refused", &refused)?;
    client.batch_execute("grant execute on function lockstep.claim_jobs to lockstep_app")?;
    wait_for(
        &mut client,
        "the job",
        "select not exists (select from lockstep_internal.job)",
    )?;
    assert_eq!(number(&mut client, &session)?, before);
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    assert_eq!(status, Some(0), "{log}");
    ensure!(log.contains("jobs cannot be claimed now"), "{log}");
    Ok(())
}
