//! Webhooks per second: verified, matched, queued and committed, while the sidecar delivers to Slack as fast as Slack accepts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::scene::{Plan, Scene, TEMPLATE};
use super::{load, row};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/accepted";

const PLAN: Plan = Plan {
    workspaces: 10,
    projects: 100,
    channels: 1,
};
const WARM_UP: Duration = Duration::from_secs(2);
const LASTING: Duration = Duration::from_secs(5);

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    let mut rates = Vec::new();
    let mut p99s = Vec::new();
    for _ in 0..size.rounds {
        let outcome = server.with_copy(TEMPLATE, |copy| {
            let scene = Scene::start(copy, PLAN)?;
            let address = scene.base.strip_prefix("http://").context("no address")?;
            let projects = i64::from(PLAN.workspaces * PLAN.projects);
            let outcome = load::run(address.parse()?, &scene.webhook, projects, WARM_UP, LASTING)?;
            // Everything that was answered is stored.
            for table in ["event", "slack_delivery"] {
                let query = format!("select count(*) from lockstep_internal.{table}");
                let count: i64 = copy.client.query_one(&query, &[])?.get(0);
                ensure!(
                    u64::try_from(count)? == outcome.taken,
                    "{} webhooks, {count} rows of {table}",
                    outcome.taken
                );
            }
            Ok(outcome)
        })?;
        let place = outcome.times.len() * 99 / 100;
        let p99 = outcome.times.get(place).copied().unwrap_or(f64::NAN);
        eprintln!(
            "bench: {NAME} {:.0} a second, p99 {p99:.1} ms",
            outcome.rate
        );
        rates.push(outcome.rate);
        p99s.push(p99);
    }
    let (rate, p99) = (median(rates), median(p99s));
    row(report, "webhooks accepted", rate, "1/s");
    row(report, "webhook to answer meanwhile, p99", p99, "ms");
    report.figures.extend([
        Figure::with_reach(format!("{NAME}/rate"), rate, "1/s", Reach::AtLeast(5_000.0)),
        Figure::plain(format!("{NAME}/p99"), p99, "ms"),
    ]);
    Ok(())
}
