//! Runs PostgreSQL's own test drivers over tests/regress and tests/isolation.

use anyhow::Result;
use lockstep_tests::host::Layout;
use lockstep_tests::regress::Driver;

use crate::database::{cluster, with_host};

/// What all isolation specs rely on: the oracle's views, and tables of their own.
const ISOLATION_SETUP: &str = include_str!("../isolation/setup.sql");

fn run(driver: Driver, database: &str, setup: &str) -> Result<()> {
    with_host(database, Layout::Narrow)?.batch_execute(setup)?;
    driver.run(cluster()?, database, &driver.tests()?)
}

#[test]
fn regress() -> Result<()> {
    run(Driver::Regress, "regress", "")
}

#[test]
fn isolation() -> Result<()> {
    run(Driver::Isolation, "isolation", ISOLATION_SETUP)
}
