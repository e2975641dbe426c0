//! A channel that is notified of an event already is not notified again because it has subscribed to the project. Two workspaces may
//! share a channel: Slack gives it the same id in both.

use super::decided::Decided;
use crate::error::Result;
use crate::event::recipients::Reason;
use crate::event::written::channel::{self, Known};
use std::collections::{BTreeSet, HashMap, HashSet};

/// What tells that two channels are the same.
#[derive(Hash, PartialEq, Eq)]
enum Mark<'a> {
    Name(&'a str, &'a str),
    Lane(i64),
    Id(&'a str),
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
    let known = channel::known(names, schema)?;
    for it in &mut subscribed {
        let mut seen = HashSet::new();
        for decision in &mut it.candidates {
            let Ok(told) = &decision.told else {
                continue;
            };
            let marks = told.channels.iter();
            let marks: Vec<Mark> = marks
                .flat_map(|name| marks_of((told.team, name), &known))
                .collect();
            let is_subscription = decision.candidate.subscription().is_some();
            if is_subscription && marks.iter().any(|mark| seen.contains(mark)) {
                decision.told = Err(Reason::SameChannel);
            } else {
                seen.extend(marks);
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
    // A name has a #, an id has none.
    let id = match name.starts_with('#') {
        true => found.and_then(|it| it.slack_id.as_deref()),
        false => Some(name),
    };
    let lane = found.map(|it| Mark::Lane(it.lane));
    let marks = [Some(Mark::Name(team, name)), lane, id.map(Mark::Id)];
    marks.into_iter().flatten()
}
