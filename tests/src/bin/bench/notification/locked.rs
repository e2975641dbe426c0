//! Whether others feel a transaction that holds up some projects: the time from webhook to answer, without and with events of 5
//! projects of 200 that wait for someone's open transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use lockstep_tests::gitlab::{Webhook, pipeline};

use super::load::Request;
use super::row;
use super::scene::{Plan, Scene, TEMPLATE};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;
use crate::slack::load::{self, Pace};

pub(super) const NAME: &str = "notification/locked";

const PLAN: Plan = Plan {
    workspaces: 10,
    projects: 20,
    channels: 1,
};
const LOCKED: i64 = 5;

/// Webhooks per second of the others.
const RATE: f64 = 200.0;
const LASTING: Duration = Duration::from_secs(5);

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    let mut p99s = [Vec::new(), Vec::new()];
    let mut ratios = Vec::new();
    server.with_copy(TEMPLATE, |copy| {
        let scene = Scene::start(copy, PLAN)?;
        let others = Others::new(&scene)?;
        others.send()?;
        for _ in 0..size.rounds {
            let without = others.send()?;
            let mut holder = copy.cluster.connect(copy.database())?;
            let mut open = holder.transaction()?;
            for project in 1..=LOCKED {
                open.execute(
                    "select from lockstep.publish_event($1::text::jsonb)",
                    &[&pipeline(project, 41, "failed").to_string()],
                )?;
            }
            let is_over = AtomicBool::new(false);
            let with = thread::scope(|scope| {
                for project in 1..=LOCKED {
                    let (webhook, is_over) = (&scene.webhook, &is_over);
                    scope.spawn(move || keep_sending(webhook, project, is_over));
                }
                let with = others.send();
                is_over.store(true, Ordering::Relaxed);
                open.rollback()?;
                with
            })?;
            eprintln!("bench: {NAME}: p99 {without:.2} ms, beside locked projects {with:.2} ms");
            ratios.push(with / without);
            p99s[0].push(without);
            p99s[1].push(with);
        }
        Ok(())
    })?;
    let [without, with] = p99s.map(median);
    row(
        report,
        "webhook to answer, p99 at 200 a second",
        without,
        "ms",
    );
    row(report, "the same beside 5 locked projects", with, "ms");
    let name = format!("{NAME}/p99");
    let ratio = median(ratios);
    let figure = Figure::with_reach(name, ratio, "ratio", Reach::AtMost(2.0));
    report.figures.push(figure);
    Ok(())
}

/// What they are answered is that nothing was taken.
fn keep_sending(webhook: &Webhook, project: i64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Relaxed) {
        let _ = webhook.send(&pipeline(project, 42, "success"));
    }
}

/// Pushes to the other projects in turn.
struct Others {
    address: std::net::SocketAddr,
    requests: load::Requests,
}

impl Others {
    fn new(scene: &Scene) -> Result<Self> {
        let address = scene.base.strip_prefix("http://").context("no address")?;
        let address = address.parse()?;
        let projects = LOCKED + 1..=i64::from(PLAN.workspaces * PLAN.projects);
        let templates: Vec<Request> = projects
            .map(|project| Request::new(address, &scene.webhook, project))
            .collect();
        let next = AtomicU64::new(0);
        Ok(Self {
            address,
            requests: Arc::new(move || {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let mut bytes = Vec::new();
                templates[number as usize % templates.len()].write(number, &mut bytes);
                Ok(bytes)
            }),
        })
    }

    /// The 99th percentile in milliseconds; all of them are taken.
    fn send(&self) -> Result<f64> {
        let (requests, pace) = (Arc::clone(&self.requests), Pace::PerSecond(RATE));
        let outcome = load::run(self.address, requests, pace, LASTING, None)?;
        Ok(outcome.percentile(0.99))
    }
}
