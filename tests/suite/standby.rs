//! The standby harness: it follows, refuses writes, and takes over.

use anyhow::{Context, Result, ensure};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::standby::Standby;
use postgres::error::SqlState;

#[test]
fn standby_follows_and_takes_over() -> Result<()> {
    let mut primary = Cluster::start("primary", &[])?;
    let mut client = primary.create_database("followed")?;
    client.batch_execute(
        "create table seen (id bigint); insert into seen values (1);
         create extension lockstep_slack cascade; select lockstep.enqueue_job('W')",
    )?;
    let standby = Standby::start(&primary, "standby", &[])?;
    client.batch_execute("insert into seen values (2)")?;
    standby.catch_up(&primary)?;
    let mut follower = standby.cluster().connect("followed")?;
    let count = "select count(*) from seen";
    assert_eq!(follower.query_one(count, &[])?.get::<_, i64>(0), 2);
    let refused = follower.batch_execute("insert into seen values (3)");
    let error = refused.err().context("a standby took a write")?;
    assert_eq!(error.code(), Some(&SqlState::READ_ONLY_SQL_TRANSACTION));

    primary.kill_postmaster()?;
    ensure!(
        primary.connect("followed").is_err(),
        "the primary still answers"
    );
    standby.promote()?;
    // Promotion also affects existing connections, which may write now.
    follower.batch_execute("insert into seen values (3)")?;
    assert_eq!(follower.query_one(count, &[])?.get::<_, i64>(0), 3);
    // It is the same database, not a copy, so it continues what was in flight.
    let claimed = "select count(*) from lockstep.claim_jobs(lockstep.start_runner('r'), '{W}')";
    assert_eq!(follower.query_one(claimed, &[])?.get::<_, i64>(0), 1);
    Ok(())
}

#[test]
fn standby_that_was_stopped_catches_up() -> Result<()> {
    let primary = Cluster::start("primary-2", &[])?;
    let mut client = primary.create_database("followed")?;
    client.batch_execute("create table seen (id bigint)")?;
    let mut standby = Standby::start(&primary, "standby-2", &[("work_mem", "5MB")])?;
    standby.cluster_mut().stop()?;
    client.batch_execute("insert into seen select generate_series(1, 1000)")?;
    standby.cluster_mut().resume()?;
    standby.catch_up(&primary)?;
    let mut follower = standby.cluster().connect("followed")?;
    let row = follower.query_one(
        "select count(*), current_setting('work_mem') from seen",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 1000);
    assert_eq!(row.get::<_, String>(1), "5MB");
    Ok(())
}
