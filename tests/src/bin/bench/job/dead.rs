//! How long it takes to retry very many dead jobs.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::NAME;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "dead";

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/retry_dead");
    if !selection.includes(&name) {
        return Ok(());
    }
    let jobs = i64::from(size.rows);
    // Analyzed before it is filled, as a table is that has had few dead jobs so far.
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(&format!(
            "create extension lockstep; analyze;
             select count(lockstep.enqueue_job('A', unique_key => 'k' || n)) from generate_series(1, {jobs}) n;
             update lockstep_internal.job set status = 'dead', died_at = now()"
        ))?;
        Ok(())
    })?;
    let mut times = Vec::new();
    for _ in 0..size.rounds {
        times.push(server.with_copy(TEMPLATE, |copy| {
            copy.settle()?;
            let start = Instant::now();
            let retried: i64 = copy
                .client
                .query_one("select lockstep.retry_dead_jobs()", &[])?
                .get(0);
            ensure!(retried == jobs, "{retried} were retried");
            Ok(start.elapsed().as_secs_f64())
        })?);
    }
    let time = median(times);
    report.table.push(vec![
        format!("retry {jobs} dead jobs"),
        "lockstep".to_owned(),
        format!("{time:.2}"),
        "s".to_owned(),
    ]);
    report
        .figures
        .push(Figure::with_reach(name, time, "s", Reach::AtMost(10.0)));
    server.drop_database(TEMPLATE)
}
