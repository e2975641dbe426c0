//! Many channels at Slack's limit: the total time, relative to what one message per second and channel allows. Slack answers in
//! 50 ms and enforces its limits to the millisecond.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::push;

use super::row;
use super::scene::{Plan, Scene, TEMPLATE};
use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::server::Server;
use crate::size::Size;

pub(super) const NAME: &str = "notification/pace";

/// 200 channels. No workspace has so many that its own limit would be the tighter one.
const PLAN: Plan = Plan {
    workspaces: 50,
    projects: 1,
    channels: 4,
};
const MESSAGES: u32 = 20;
const ANSWER_AFTER: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(120);

/// The result of a round.
struct Round {
    /// Relative to the time that Slack's limit allows.
    ratio: f64,
    /// Requests that Slack refused as too early.
    refused: f64,
}

pub(super) fn run(server: &mut Server, size: Size, report: &mut Report) -> Result<()> {
    let mut rounds = Vec::new();
    // Each takes 20 seconds for every contender.
    for _ in 0..size.rounds.min(3) {
        let round = server.with_copy(TEMPLATE, |copy| {
            let scene = Scene::start(copy, PLAN)?;
            scene.slack.answer_after(ANSWER_AFTER);
            let begun = SystemTime::now();
            for number in 0..MESSAGES {
                for project in 1..=i64::from(PLAN.workspaces * PLAN.projects) {
                    let event = push(project, &format!("event-{number:06}")).to_string();
                    let query = "select lockstep.publish_event($1::text::jsonb)";
                    copy.client.execute(query, &[&event])?;
                }
            }
            let channels: Vec<&String> = scene.channels.iter().flatten().collect();
            let all = channels.len() * MESSAGES as usize;
            ensure!(
                scene.slack.wait_for_messages(all, PATIENCE),
                "not all are delivered"
            );
            let mut last = begun;
            for channel in channels {
                let messages = scene.slack.messages(channel);
                ensure!(messages.len() == MESSAGES as usize, "a message twice");
                last = last.max(messages.last().context("no message")?.at);
            }
            let took = last.duration_since(begun)?.as_secs_f64();
            let calls = scene.slack.call_counts()["chat.postMessage"];
            Ok(Round {
                ratio: took / f64::from(MESSAGES - 1),
                refused: (calls - all.min(calls)) as f64,
            })
        })?;
        eprintln!(
            "bench: {NAME} {:.3} of Slack's pace, {} refused",
            round.ratio, round.refused
        );
        rounds.push(round);
    }
    let ratio = median(rounds.iter().map(|round| round.ratio));
    let refused = median(rounds.iter().map(|round| round.refused));
    row(report, "200 channels, of Slack's pace", ratio, "ratio");
    row(report, "requests refused as too soon", refused, "of 4,000");
    report.figures.extend([
        Figure::with_reach(NAME.to_owned(), ratio, "ratio", Reach::AtMost(1.05)),
        Figure::plain(format!("{NAME}/refused"), refused, "requests"),
    ]);
    Ok(())
}
