//! Whether many claimers find work while there is any, when each commit takes 7 ms: what one has claimed is locked that long.

use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use postgres::Client;

use super::NAME;
use crate::Report;
use crate::commit::slow_commits;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;

const TEMPLATE: &str = "claimers";
const CLAIMERS: i64 = 32;
const AT_ONCE: i64 = 10;

pub(super) fn run(
    server: &mut Server,
    selection: &Selection,
    size: Size,
    report: &mut Report,
) -> Result<()> {
    let name = format!("{NAME}/claimers");
    if !selection.includes(&name) {
        return Ok(());
    }
    // 20,000 by default.
    let jobs = i64::from(size.rows) / 5;
    server.create_template(TEMPLATE, |client| {
        client.batch_execute(&format!(
            "create extension lockstep; select count(lockstep.enqueue_job('A')) from generate_series(1, {jobs})"
        ))?;
        Ok(())
    })?;
    let (mut shares, mut rates) = (Vec::new(), Vec::new());
    for _ in 0..size.rounds {
        let (share, rate) = server.with_copy(TEMPLATE, |copy| {
            copy.settle()?;
            slow_commits(&mut copy.client, true)?;
            let outcome = claim_all(copy, jobs);
            slow_commits(&mut copy.client, false)?;
            outcome
        })?;
        shares.push(share);
        rates.push(rate);
    }
    let (share, rate) = (median(shares), median(rates));
    for (what, value, unit) in [
        ("answered in full", format!("{:.1}", 100.0 * share), "%"),
        ("claimed and completed", format!("{rate:.0}"), "jobs/s"),
    ] {
        report.table.push(vec![
            format!("{CLAIMERS} claimers, slow commits, {what}"),
            "lockstep".to_owned(),
            value,
            unit.to_owned(),
        ]);
    }
    report.figures.extend([
        Figure::with_reach(
            format!("{name}/full"),
            share,
            "ratio",
            Reach::AtLeast(0.999),
        ),
        Figure::plain(format!("{name}/rate"), rate, "jobs/s"),
    ]);
    server.drop_database(TEMPLATE)
}

/// The share of claims that got as many jobs as they asked for while there were enough for all claimers, and jobs per second.
fn claim_all(copy: &Copy, jobs: i64) -> Result<(f64, f64)> {
    let left = AtomicI64::new(jobs);
    let start = Instant::now();
    let work = |mut client: Client| -> Result<[u32; 2]> {
        let runner: i64 = client
            .query_one("select lockstep.start_runner('bench', '1 hour')", &[])?
            .get(0);
        let claim = client
            .prepare("select job from lockstep.claim_jobs($1, '{A}', $2::bigint::integer)")?;
        let complete = client.prepare("select lockstep.complete_jobs($1, $2)")?;
        let mut counts = [0, 0];
        // So many others may hold at most.
        while left.load(Ordering::Relaxed) > 2 * CLAIMERS * AT_ONCE {
            let rows = client.query(&claim, &[&runner, &AT_ONCE])?;
            let jobs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
            let found = i64::try_from(jobs.len())?;
            left.fetch_sub(found, Ordering::Relaxed);
            counts[usize::from(found == AT_ONCE)] += 1;
            client.execute(&complete, &[&runner, &jobs])?;
        }
        Ok(counts)
    };
    let mut clients = Vec::new();
    for _ in 0..CLAIMERS {
        clients.push(copy.cluster.connect(copy.database())?);
    }
    let [short, full] = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .into_iter()
            .map(|client| scope.spawn(|| work(client)))
            .collect();
        let mut all = [0, 0];
        for thread in threads {
            let counts = thread.join().ok().context("a client panicked")??;
            for (sum, count) in all.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        Ok::<_, anyhow::Error>(all)
    })?;
    ensure!(full > 0, "nothing was claimed");
    let done = jobs - left.load(Ordering::Relaxed);
    let rate = done as f64 / start.elapsed().as_secs_f64();
    Ok((f64::from(full) / f64::from(full + short), rate))
}
