//! The harness itself: the server runs what was built, and the application's tables are like GitLab's.

use anyhow::Result;
use lockstep_tests::cluster::Cluster;
use lockstep_tests::host::{self, Layout};

use crate::database;

#[test]
fn server_runs_wholly_from_the_private_installation() -> Result<()> {
    let mut client = database::empty("smoke_installation")?;
    client.batch_execute("create extension lockstep")?;
    let row = client.query_one(
        "select setting from pg_config where name = 'PKGLIBDIR'",
        &[],
    )?;
    let library: String = row.get(0);
    assert!(library.contains("/installation/"), "{library}");
    let row = client.query_one("select current_setting('listen_addresses')", &[])?;
    assert_eq!(row.get::<_, String>(0), "");
    Ok(())
}

#[test]
fn host_tables_are_as_wide_as_the_real_ones() -> Result<()> {
    let mut client = database::with_host("smoke_wide", Layout::Wide)?;
    let count = "select (select count(*) from pg_attribute where attrelid = 'projects'::regclass and attnum > 0), \
                        (select count(*) from pg_index where indrelid = 'projects'::regclass)";
    let row = client.query_one(count, &[])?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (85, 8));
    Ok(())
}

#[test]
fn every_layout_takes_its_triggers() -> Result<()> {
    let mut narrow = database::with_host("smoke_narrow", Layout::Narrow)?;
    host::run(&mut narrow, host::STATEMENT_TRIGGERS)?;
    let mut wide = database::with_host("smoke_triggers", Layout::Wide)?;
    host::run(&mut wide, host::APPLICATION_TRIGGERS)?;
    let mut services = database::with_host("smoke_services", Layout::Services)?;
    host::run(&mut services, host::SERVICES_TRIGGERS)?;
    Ok(())
}

#[test]
fn killed_server_comes_back_with_what_was_committed() -> Result<()> {
    let mut cluster = Cluster::start("crash", &[])?;
    let mut client = cluster.create_database("crash")?;
    client.batch_execute("create table kept (id bigint); insert into kept values (1)")?;
    cluster.kill_postmaster()?;
    cluster.resume()?;
    let mut client = cluster.connect("crash")?;
    let row = client.query_one("select count(*) from kept", &[])?;
    assert_eq!(row.get::<_, i64>(0), 1);
    cluster.restart()?;
    cluster
        .connect("crash")?
        .batch_execute("select from kept")?;
    Ok(())
}
