//! Runs PostgreSQL's own test drivers over tests/regress and tests/isolation.

use anyhow::Result;
use lockstep_tests::host::Layout;
use lockstep_tests::regress::Driver;

use crate::database::{cluster, with_host};

fn run(driver: Driver, database: &str) -> Result<()> {
    with_host(database, Layout::Narrow)?;
    driver.run(cluster()?, database, &driver.tests()?)
}

#[test]
fn regress() -> Result<()> {
    run(Driver::Regress, "regress")
}

#[test]
fn isolation() -> Result<()> {
    run(Driver::Isolation, "isolation")
}
