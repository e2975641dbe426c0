//! A channel that is notified of an event already is not notified again because it has subscribed to the project. Two workspaces may
//! share a channel: Slack gives it the same id in both. That counts once Slack has told the id, and while the workspace that is notified
//! first reaches the channel: whoever merely names another workspace's channel does not silence it there.

use super::decided::Decided;
use super::unreached::Unreached;
use crate::error::Result;
use crate::event::recipients::Reason;
use crate::event::written::channel::{self, Known};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What tells that two channels are the same.
#[derive(Hash, PartialEq, Eq)]
enum Mark<'a> {
    /// By name or id in a workspace.
    Name(&'a str, &'a str),
    Lane(i64),
    /// In any workspace.
    Learned(&'a str),
}

/// Leaves out the subscriptions whose channels are notified by an integration, or by an earlier subscription.
pub(super) fn once_per_channel(decided: &mut [Decided], schema: &str) -> Result<()> {
    let is_subscribed = |it: &&mut Decided| {
        let candidates = it.candidates.iter();
        let mut told = candidates.filter(|decision| decision.told.is_ok());
        it.id.is_some() && told.any(|decision| decision.candidate.subscription().is_some())
    };
    let mut subscribed: Vec<&mut Decided> = decided.iter_mut().filter(is_subscribed).collect();
    if subscribed.is_empty() {
        return Ok(());
    }
    let told = subscribed.iter().flat_map(|it| it.told());
    let names = told.flat_map(|told| told.channels.iter().map(|name| (told.team, *name)));
    let names: BTreeSet<(&str, &str)> = names.collect();
    let teams: BTreeSet<&str> = names.iter().map(|(team, _)| *team).collect();
    let unreached = match teams.len() {
        0 | 1 => Unreached::default(),
        _ => Unreached::look_up(&subscribed, teams, schema)?,
    };
    let known = channel::known(names, schema)?;
    for it in &mut subscribed {
        let mut seen = HashSet::new();
        for decision in &mut it.candidates {
            let Ok(told) = &decision.told else {
                continue;
            };
            let marks = |name| marks_of((told.team, name), &known);
            let is_subscription = decision.candidate.subscription().is_some();
            let mut all = told.channels.iter().copied().flat_map(marks);
            if is_subscription && all.any(|mark| seen.contains(&mark)) {
                decision.told = Err(Reason::SameChannel);
                continue;
            }
            for name in told.channels.iter().copied() {
                let is_reached = unreached.reaches(decision.candidate.by, told.team, name);
                let counts = |mark: &Mark| is_reached || !matches!(mark, Mark::Learned(_));
                seen.extend(marks(name).filter(counts));
            }
        }
    }
    Ok(())
}

fn marks_of<'a>(
    (team, name): (&'a str, &'a str),
    known: &'a HashMap<(&'a str, &'a str), Known>,
) -> impl Iterator<Item = Mark<'a>> {
    let found = known.get(&(team, name));
    let id = found.and_then(|it| it.slack_id.as_deref());
    let marks = [
        Some(Mark::Name(team, name)),
        found.map(|it| Mark::Lane(it.lane)),
        id.map(|id| Mark::Name(team, id)),
        id.map(Mark::Learned),
    ];
    marks.into_iter().flatten()
}
