//! How soon Slack is notified on an idle system: from GitLab starting to send a webhook to Slack receiving the resulting request.
//! Each event goes to a channel without earlier messages, so that nothing has to wait for its turn.

use std::thread::sleep;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;

use super::row;
use super::scene::{Plan, Scene, TEMPLATE};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/latency";

const PLAN: Plan = Plan {
    workspaces: 20,
    projects: 25,
    channels: 1,
};
/// The pause between events; no workspace exceeds its limit.
const PAUSE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) fn run(server: &mut Server, _size: Size, report: &mut Report) -> Result<()> {
    let mut times = server.with_copy(TEMPLATE, |copy| {
        let scene = Scene::start(copy, PLAN)?;
        let mut times = Vec::new();
        // One project of each workspace in turn.
        for place in 0..PLAN.projects {
            for workspace in 0..PLAN.workspaces {
                let project = workspace * PLAN.projects + place;
                let channel = &scene.channels[project as usize][0];
                let event = push(i64::from(project) + 1, "Boil the water");
                let begun = SystemTime::now();
                let reply = scene.webhook.send(&event)?;
                ensure!(reply.status == 200, "{}", reply.text());
                ensure!(
                    scene.slack.wait_for_messages_in(channel, 1, PATIENCE),
                    "nobody told Slack"
                );
                let messages = scene.slack.messages(channel);
                let at = messages.first().context("no message")?.at;
                times.push(at.duration_since(begun)?.as_secs_f64() * 1e3);
                sleep(PAUSE);
            }
        }
        Ok(times)
    })?;
    times.sort_unstable_by(f64::total_cmp);
    for (part, share) in [("p50", 0.5), ("p99", 0.99)] {
        let place = (times.len() as f64 * share) as usize;
        let value = times.get(place).copied().unwrap_or(f64::NAN);
        row(
            report,
            &format!("webhook to Slack's request, idle, {part}"),
            value,
            "ms",
        );
        let name = format!("{NAME}/{part}");
        report.figures.push(match part {
            "p99" => Figure::with_reach(name, value, "ms", Reach::AtMost(50.0)),
            _ => Figure::plain(name, value, "ms"),
        });
    }
    Ok(())
}
