//! One statement, measured once.

use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::state::{SPARE, State};
use super::variant::Variant;
use super::workload::Workload;
use crate::server::{Copy, Server};

/// What one execution of a statement took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The statement and its commit.
    pub(super) milliseconds: f64,
    pub(super) wal_bytes: f64,
    /// Row versions of `projects` that it leaves to VACUUM. Rows that are only locked leave none.
    pub(super) dead_tuples: f64,
}

/// Measures a workload under one variant, in a fresh copy of the state's template.
///
/// The session first runs the same statement for a few spare projects and rolls it back, so that nobody's first use of
/// a library, a catalog or a function is measured. It then discards its plans: those made for a few rows would stay in use
/// for many, at the expense of the statement triggers above all (their transition tables tell the planner how
/// many rows there are, but only when it plans).
pub(super) fn measure(
    server: &mut Server,
    workload: Workload,
    state: State,
    variant: Variant,
) -> Result<Sample> {
    let projects = workload.projects(state.rows);
    let statement = |first: u32, last: u32| match variant {
        Variant::BareUpdate => workload.bare_update(first, last).unwrap_or_default(),
        _ => workload.statement(first, last),
    };
    let measured = statement(1, projects);
    let warm_up = statement(projects + 1, projects + SPARE);
    server
        .with_copy(&state.template(), |copy| {
            variant.install(&mut copy.client)?;
            copy.client
                .batch_execute(&format!("begin; {warm_up}; rollback"))?;
            copy.client.batch_execute("discard plans")?;
            copy.settle()?;
            let sample = run(copy, &measured)?;
            if variant.keeps() {
                check(copy)?;
            }
            Ok(sample)
        })
        .with_context(|| format!("{} with {}", workload.name, variant.name()))
}

fn run(copy: &mut Copy, statement: &str) -> Result<Sample> {
    let wal_before = copy.wal_bytes()?;
    copy.client.batch_execute("begin")?;
    let start = Instant::now();
    copy.client.batch_execute(statement)?;
    let statement_time = start.elapsed();
    // Counted by the transaction itself, unlike what the statistics say at some later time.
    let dead: i64 = copy
        .client
        .query_one(
            "select pg_stat_get_xact_tuples_updated('projects'::regclass) \
                  + pg_stat_get_xact_tuples_deleted('projects'::regclass)",
            &[],
        )?
        .get(0);
    let start = Instant::now();
    copy.client.batch_execute("commit")?;
    let time = statement_time + start.elapsed();
    Ok(Sample {
        milliseconds: time.as_secs_f64() * 1000.0,
        wal_bytes: copy.wal_bytes()? - wal_before,
        dead_tuples: dead as f64,
    })
}

/// A variant that does not do the work must not be compared.
fn check(copy: &mut Copy) -> Result<()> {
    let wrong: i64 = copy
        .client
        .query_one(
            "select count(*) from projects \
             left join (select distinct project_id from integrations where active and category = 'issue_tracker') as active \
               on active.project_id = projects.id \
             where has_external_issue_tracker is distinct from (active.project_id is not null)",
            &[],
        )?
        .get(0);
    ensure!(wrong == 0, "{wrong} projects have a wrong value afterwards");
    Ok(())
}
