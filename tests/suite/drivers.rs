//! Runs PostgreSQL's own test drivers over tests/regress and tests/isolation.

use std::io::{Write, stderr};

use anyhow::{Context, Result};
use lockstep_tests::host::Layout;
use lockstep_tests::regress::Driver;

use crate::database::{cluster, with_slack};
use crate::random::plan::Dice;
use crate::random::seed;
use crate::settings::{self, commands};

/// Shared by all isolation specs: the oracle's views, and their tables.
const ISOLATION_SETUP: &str = include_str!("../isolation/setup.sql");

fn run(driver: Driver, database: &str, setup: &str) -> Result<()> {
    with_slack(database, Layout::Narrow)?.batch_execute(setup)?;
    driver.run(cluster()?, database, &driver.tests()?)
}

#[test]
fn regress() -> Result<()> {
    run(Driver::Regress, "regress", "")
}

/// With random settings in each run; LOCKSTEP_SEED=... repeats those of an earlier run.
#[test]
fn isolation() -> Result<()> {
    let seed = seed()?;
    let mut drawn = settings::draw(&mut Dice::new(seed, 0));
    // At SERIALIZABLE a session without index scans reads the whole table, which makes others fail.
    if drawn.contains(&("enable_bitmapscan", "off")) {
        drawn.retain(|(name, _)| *name != "enable_indexscan");
    }
    let setup = commands(&drawn)?.replace("set ", "alter database isolation set ");
    writeln!(stderr(), "isolation: LOCKSTEP_SEED={seed} {drawn:?}")?;
    run(
        Driver::Isolation,
        "isolation",
        &format!("{ISOLATION_SETUP}\n{setup}"),
    )
    .with_context(|| format!("LOCKSTEP_SEED={seed}"))
}
