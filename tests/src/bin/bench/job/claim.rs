//! Whether a claim takes longer with a long queue.

use std::time::Instant;

use anyhow::{Result, ensure};

use super::NAME;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "waiting";
const SHORT: i64 = 1_000;
const CLAIMS: usize = 200;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/claim");
    if !selection.includes(&name) {
        return Ok(());
    }
    // 1,000,000 by default.
    let long = i64::from(size.rows) * 10;
    let mut times = [Vec::new(), Vec::new()];
    for (jobs, times) in [SHORT, long].into_iter().zip(&mut times) {
        server.create_template(TEMPLATE, |client| {
            client.batch_execute(&format!(
                "create extension lockstep;
                 select count(lockstep.enqueue_job(case n % 2 when 0 then 'A' else 'B' end)) from generate_series(1, {jobs}) n"
            ))?;
            Ok(())
        })?;
        for _ in 0..size.rounds {
            times.push(server.with_copy(TEMPLATE, |copy| {
                copy.settle()?;
                let client = &mut copy.client;
                let runner: i64 = client
                    .query_one("select lockstep.start_runner('bench', '1 hour')", &[])?
                    .get(0);
                let claim = client.prepare("select job from lockstep.claim_jobs($1, '{A, B}', 10)")?;
                let complete = client.prepare("select lockstep.complete_jobs($1, $2)")?;
                let enqueue = client.prepare(
                    "select lockstep.enqueue_job(case n % 2 when 0 then 'A' else 'B' end) from generate_series(1, 10) n",
                )?;
                let mut all = Vec::new();
                for _ in 0..CLAIMS {
                    let start = Instant::now();
                    let rows = client.query(&claim, &[&runner])?;
                    all.push(start.elapsed().as_secs_f64() * 1e6);
                    ensure!(rows.len() == 10, "{} jobs were claimed", rows.len());
                    let jobs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                    client.execute(&complete, &[&runner, &jobs])?;
                    client.execute(&enqueue, &[])?;
                }
                Ok(median(all))
            })?);
        }
        report.table.push(vec![
            format!("claim 10 of {jobs}"),
            "lockstep".to_owned(),
            format!("{:.0}", median(times.iter().copied())),
            "us".to_owned(),
        ]);
        server.drop_database(TEMPLATE)?;
    }
    let [short, long] = times;
    report.figures.push(Figure::with_reach(
        format!("{name}/long_of_short_queue"),
        median(long) / median(short),
        "ratio",
        Reach::AtMost(1.5),
    ));
    Ok(())
}
