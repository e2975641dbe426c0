//! Whether a claim takes longer beside a snapshot that has been open while many jobs were done: PostgreSQL keeps all of them in the
//! index for it.

use std::time::Instant;

use anyhow::{Result, ensure};
use postgres::Client;

use super::NAME;
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;

const TEMPLATE: &str = "snapshot";
const CLAIMS: usize = 200;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/snapshot");
    if !selection.includes(&name) {
        return Ok(());
    }
    // 1,000,000 by default.
    let jobs = i64::from(size.rows) * 10;
    server.create_template(TEMPLATE, |client| {
        client.batch_execute("create extension lockstep")?;
        Ok(())
    })?;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..size.rounds {
        let pair = server.with_copy(TEMPLATE, |copy| {
            copy.settle()?;
            let before = claim(&mut copy.client)?;
            let mut reader = copy.cluster.connect(copy.database())?;
            reader.batch_execute(
                "begin isolation level repeatable read; select from pg_class limit 1",
            )?;
            do_jobs(&mut copy.client, jobs)?;
            let after = claim(&mut copy.client)?;
            reader.batch_execute("commit")?;
            Ok([before, after])
        })?;
        for (times, time) in times.iter_mut().zip(pair) {
            times.push(time);
        }
    }
    let [before, after] = times.map(median);
    for (work, value) in [("before", before), ("after", after)] {
        report.table.push(vec![
            format!("claim 100, {work} {jobs} jobs beside a snapshot"),
            "lockstep".to_owned(),
            format!("{value:.0}"),
            "us".to_owned(),
        ]);
    }
    report.figures.push(Figure::with_reach(
        format!("{name}/after_of_before"),
        after / before,
        "ratio",
        Reach::AtMost(1.5),
    ));
    server.drop_database(TEMPLATE)
}

/// The mean of many claims, in microseconds: some of them take long.
fn claim(client: &mut Client) -> Result<f64> {
    let runner: i64 = client
        .query_one("select lockstep.start_runner('bench', '12:00:00')", &[])?
        .get(0);
    let claim = client.prepare("select job from lockstep.claim_jobs($1, '{A, B}', 100)")?;
    let complete = client.prepare("select lockstep.complete_jobs($1, $2)")?;
    let enqueue = client.prepare(
        "select lockstep.enqueue_job(case n % 2 when 0 then 'A' else 'B' end) from generate_series(1, 100) n",
    )?;
    let mut sum = 0.0;
    client.execute(&enqueue, &[])?;
    for _ in 0..CLAIMS {
        client.execute(&enqueue, &[])?;
        let start = Instant::now();
        let rows = client.query(&claim, &[&runner])?;
        sum += start.elapsed().as_secs_f64() * 1e6;
        ensure!(rows.len() == 100, "{} jobs were claimed", rows.len());
        let jobs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        client.execute(&complete, &[&runner, &jobs])?;
    }
    client.execute("select lockstep.stop_runner($1)", &[&runner])?;
    Ok(sum / CLAIMS as f64)
}

/// Enqueues, claims and completes jobs, 10,000 at a time.
fn do_jobs(client: &mut Client, jobs: i64) -> Result<()> {
    client.batch_execute(&format!(
        "do $$
         declare runner bigint := lockstep.start_runner('done', '12:00:00');
         begin
           for n in 1 .. {} loop
             perform count(lockstep.enqueue_job('A')) from generate_series(1, 10000);
             perform lockstep.complete_jobs(runner, array(select job from lockstep.claim_jobs(runner, '{{A, B}}', 10000)));
             commit;
           end loop;
           perform lockstep.stop_runner(runner);
         end $$",
        (jobs / 10_000).max(1)
    ))?;
    Ok(())
}
