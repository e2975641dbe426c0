//! A prepared transaction survives a crash with everything that its flush wrote and locked.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::Client;

use crate::concurrency::{assert_in_lockstep, pid_of, wait_until_blocked};
use crate::crash::{DATABASE, kill_backend, lay_out, reconnect, start, wait_until_lost};

/// How the prepared transaction ends after the crash, and how many projects have a tracker then.
const ENDS: [(&str, i64); 2] = [
    ("commit prepared 'half'", 100),
    ("rollback prepared 'half'", 200),
];

fn trackers(client: &mut Client) -> Result<i64> {
    Ok(client
        .query_one(
            "select count(*) from projects where has_external_issue_tracker",
            &[],
        )?
        .get(0))
}

fn is_prepared(client: &mut Client) -> Result<bool> {
    Ok(client
        .query_one(
            "select exists (select from pg_prepared_xacts where gid = 'half')",
            &[],
        )?
        .get(0))
}

/// Prepares the loss of every tracker up to project 100.
fn prepare(cluster: &Cluster) -> Result<()> {
    let mut client = cluster.connect(DATABASE)?;
    lay_out(&mut client, "true")?;
    client.batch_execute(
        "begin; update integrations set active = false where project_id <= 100; prepare transaction 'half'",
    )?;
    Ok(())
}

/// Another session gives project 1 a second tracker and waits for the prepared transaction; meanwhile `crash` happens.
fn gain_meanwhile(
    cluster: &mut Cluster,
    crash: impl FnOnce(&mut Cluster, i32) -> Result<()>,
) -> Result<()> {
    let mut gainer = cluster.connect(DATABASE)?;
    let mut witness = cluster.connect(DATABASE)?;
    let pid = pid_of(&mut gainer)?;
    thread::scope(|scope| -> Result<()> {
        let gaining = scope.spawn(|| {
            gainer.batch_execute(
                "insert into integrations (project_id, type_new, category, active)
                 values (1, 'Integrations::Redmine', 'issue_tracker', true)",
            )
        });
        wait_until_blocked(&mut witness, pid)?;
        crash(cluster, pid)?;
        let outcome = gaining
            .join()
            .map_err(|_| anyhow!("the session panicked"))?;
        ensure!(outcome.is_err(), "the statement outlived its backend");
        wait_until_lost(&mut witness)
    })
}

fn end_after(cluster: &Cluster, (end, expected): (&str, i64)) -> Result<()> {
    let mut client = reconnect(cluster)?;
    ensure!(
        is_prepared(&mut client)?,
        "the prepared transaction is gone"
    );
    assert_in_lockstep(&mut client).context("while it is prepared")?;
    ensure!(trackers(&mut client)? == 200, "what is only prepared shows");
    // It still holds the rows that it wrote: sessions that change the same project wait for it, and are right.
    let mut gainer = cluster.connect(DATABASE)?;
    let pid = pid_of(&mut gainer)?;
    thread::scope(|scope| -> Result<()> {
        let gaining = scope.spawn(|| {
            gainer.batch_execute(
                "insert into integrations (project_id, type_new, category, active)
                 values (2, 'Integrations::Redmine', 'issue_tracker', true);
                 delete from integrations where project_id = 2 and type_new = 'Integrations::Redmine'",
            )
        });
        wait_until_blocked(&mut client, pid)?;
        client.batch_execute(end)?;
        Ok(gaining
            .join()
            .map_err(|_| anyhow!("the session panicked"))??)
    })?;
    assert_in_lockstep(&mut client)?;
    ensure!(
        trackers(&mut client)? == expected,
        "{} projects have a tracker",
        trackers(&mut client)?
    );
    Ok(())
}

#[test]
fn prepared_transaction_survives_the_kill_of_a_backend_that_waits_for_it() -> Result<()> {
    let mut cluster = start("crash_prepared_backend")?;
    for end in ENDS {
        prepare(&cluster)?;
        gain_meanwhile(&mut cluster, |_, pid| kill_backend(pid))?;
        end_after(&cluster, end).with_context(|| end.0)?;
    }
    Ok(())
}

#[test]
fn prepared_transaction_survives_the_kill_of_the_postmaster() -> Result<()> {
    let mut cluster = start("crash_prepared_postmaster")?;
    for end in ENDS {
        prepare(&cluster)?;
        gain_meanwhile(&mut cluster, |cluster, _| cluster.kill_postmaster())?;
        cluster.resume()?;
        end_after(&cluster, end).with_context(|| end.0)?;
    }
    Ok(())
}
