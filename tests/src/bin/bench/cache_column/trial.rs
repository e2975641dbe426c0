//! One statement, measured once.

use anyhow::{Context, Result, ensure};

use super::state::{SPARE, State};
use super::variant::Variant;
use super::workload::Workload;
use crate::clock::Clock;
use crate::server::{Copy, Server};

/// The cost of executing one statement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The CPU time of the statement and its commit.
    ///
    /// A single session waits for nobody, so on an idle machine this equals the elapsed time; on a busy one the elapsed time
    /// includes the work of others.
    pub(super) milliseconds: f64,
    /// The elapsed time.
    pub(super) elapsed: f64,
    pub(super) wal_bytes: f64,
    /// Dead row versions of `projects`. Rows that are only locked leave none.
    pub(super) dead_tuples: f64,
}

/// Measures a workload under one variant, in a fresh copy of the state's template.
///
/// The session first runs the same statement for a few spare projects and rolls it back, so that no first use of a library,
/// catalog or function is measured. It then discards its plans: plans made for a few rows would be kept for many, which would
/// hurt the statement triggers most (their transition tables tell the planner how many rows there are, but only when it plans).
pub(super) fn measure(
    server: &mut Server,
    workload: Workload,
    state: State,
    variant: Variant,
    round: usize,
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
            if variant.keeps() && round == 0 {
                check(copy)?;
            }
            Ok(sample)
        })
        .with_context(|| format!("{} with {}", workload.name, variant.name()))
}

fn run(copy: &mut Copy, statement: &str) -> Result<Sample> {
    let wal_before = copy.wal_bytes()?;
    copy.client.batch_execute("begin")?;
    let dead_before = dead_tuples(copy)?;
    let mut clock = Clock::of_session(&mut copy.client)?;
    clock.time(|| copy.client.batch_execute(statement))?;
    let dead_tuples = dead_tuples(copy)? - dead_before;
    clock.time(|| copy.client.batch_execute("commit"))?;
    Ok(Sample {
        milliseconds: clock.busy,
        elapsed: clock.elapsed,
        wal_bytes: copy.wal_bytes()? - wal_before,
        dead_tuples: dead_tuples as f64,
    })
}

/// The session's own recent counts; the statistics follow later.
fn dead_tuples(copy: &mut Copy) -> Result<i64> {
    let query = "select pg_stat_get_xact_tuples_updated('projects'::regclass) \
                      + pg_stat_get_xact_tuples_deleted('projects'::regclass)";
    Ok(copy.client.query_one(query, &[])?.get(0))
}

/// A variant that does none of the work must not be compared.
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
