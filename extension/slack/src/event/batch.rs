//! Publishes a batch of events: lookups, decisions and writes are done for the whole batch, each step with statements for all
//! events.

use super::read::{Flaw, Occurrence, Place};
use super::settings::{Effective, effective};
use super::tables::Tables;
use super::told::{
    Candidate, Candidates, ChatNames, Notifications, ProtectedBranches, Reason, Scope, Scopes,
    Surroundings, Told, filter,
};
use super::written::{Channel, Finished, NewDelivery, channel, pipeline, rows};
use crate::error::Result;
use lockstep_webhook::trimmed;
use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Maximum length of a key.
const MOST_OF_KEY: usize = 255;

/// The outcome of an event.
pub(super) enum Outcome {
    /// The result for each integration that might be notified.
    Published(Vec<Answer>),
    Duplicate,
    Flawed(Flaw),
    /// It happened in an unknown project or group.
    Nowhere(String),
}

pub(super) struct Answer {
    pub(super) integration: i64,
    pub(super) slack_integration: Option<i64>,
    /// The channels, or why none is notified.
    pub(super) told: Result<Vec<String>, Reason>,
}

impl Answer {
    pub(super) fn deliveries(&self) -> usize {
        self.told.as_ref().map_or(0, Vec::len)
    }
}

/// A valid event.
struct Event<'a> {
    key: &'a str,
    text: &'a str,
    it: Occurrence<'a>,
}

impl<'a> Event<'a> {
    /// The part that is stored.
    fn kept(&self) -> Cow<'a, str> {
        match self.it.has_superfluous {
            true => Cow::Owned(trimmed(self.text)),
            false => Cow::Borrowed(self.text),
        }
    }
}

/// An event with a place, and the integrations that might be notified according to the application's own switches.
struct Switched<'a> {
    /// Its position in the batch.
    place: usize,
    event: &'a Event<'a>,
    scope: &'a Scope,
    candidates: Vec<(&'a Candidate, Result<(), Reason>)>,
}

/// The same, with the channels to notify.
struct Decided<'a> {
    place: usize,
    event: &'a Event<'a>,
    scope: &'a Scope,
    candidates: Vec<(&'a Candidate, Result<Told<'a>, Reason>)>,
}

/// Publishes events with their keys; returns the outcome of each.
pub(super) fn publish(events: &[(Option<&str>, String)], schema: &str) -> Result<Vec<Outcome>> {
    let tables = Tables::attached(schema)?;
    let events = events.iter().map(|(text, key)| read(*text, key));
    let events: Vec<Result<Event, Flaw>> = events.collect();
    let places = || events.iter().flatten().map(|event| &event.it.place);
    let (scopes, candidates) = tables.as_owner(|| {
        let scopes = Scopes::look_up(&tables, places());
        let found: Vec<&Scope> = places().filter_map(|place| scopes.of(place)).collect();
        let candidates = Candidates::look_up(&tables, &found);
        (scopes, candidates)
    });
    let mut outcomes = Vec::with_capacity(events.len());
    let mut new = Vec::with_capacity(events.len());
    let mut keys = HashSet::new();
    for (place, event) in events.iter().enumerate() {
        outcomes.push(match event {
            Err(flaw) => Outcome::Flawed(flaw.clone()),
            Ok(event) => match scopes.of(&event.it.place) {
                None => Outcome::Nowhere(name_of(&event.it.place)),
                Some(scope) => {
                    if keys.insert(event.key) {
                        new.push((place, event, scope));
                    }
                    // Unless it turns out to be new.
                    Outcome::Duplicate
                }
            },
        });
    }
    let switched = switch(new, &candidates, schema)?;
    let let_through = switched.iter().flat_map(|it| &it.candidates);
    let let_through = let_through.filter(|(_, switched)| switched.is_ok());
    let settings = effective(
        &tables,
        let_through.map(|(candidate, _)| (candidate.integration, candidate.inherits_from)),
    )?;
    let mut decided = decide(&tables, switched, &settings)?;
    let ids = write(&mut decided, schema)?;
    for decided in decided {
        if ids.contains_key(decided.event.key)
            && let Some(outcome) = outcomes.get_mut(decided.place)
        {
            *outcome = decided.outcome();
        }
    }
    Ok(outcomes)
}

fn read<'a>(text: Option<&'a str>, key: &'a str) -> Result<Event<'a>, Flaw> {
    if key.is_empty() || key.chars().count() > MOST_OF_KEY {
        return Err(Flaw::Field("key".to_owned()));
    }
    let text = text.ok_or_else(|| Flaw::Field("object_kind".to_owned()))?;
    let it = Occurrence::read(text)?;
    Ok(Event { key, text, it })
}

fn name_of(place: &Place) -> String {
    match place {
        Place::Project(id) => format!("project {id}"),
        Place::Group(id) => format!("group {id}"),
        Place::GroupOfPath(path) => format!("group \"{path}\""),
    }
}

fn switch<'a>(
    events: Vec<(usize, &'a Event<'a>, &'a Scope)>,
    candidates: &'a Candidates,
    schema: &str,
) -> Result<Vec<Switched<'a>>> {
    let notifications = match events.is_empty() {
        true => return Ok(Vec::new()),
        false => Notifications::read(schema)?,
    };
    let switch = |(place, event, scope): (usize, &'a Event<'a>, &'a Scope)| {
        let is_on = notifications.are_on(scope, &event.it.author)?;
        let candidates = candidates.of(scope).into_iter();
        Ok(Switched {
            place,
            event,
            scope,
            candidates: candidates
                .map(|it| (it, filter::switched(it, &event.it, is_on)))
                .collect(),
        })
    };
    events.into_iter().map(switch).collect()
}

fn decide<'a>(
    tables: &Tables,
    switched: Vec<Switched<'a>>,
    settings: &'a HashMap<i64, Effective>,
) -> Result<Vec<Decided<'a>>> {
    let settings_of = |candidate: &Candidate| settings.get(&candidate.integration);
    let mut unsaid = Vec::new();
    let mut users = BTreeSet::new();
    for it in &switched {
        for (candidate, switched) in &it.candidates {
            if let (Ok(()), Some(found)) = (switched, settings_of(candidate)) {
                if filter::needs_protected_branches(&it.event.it, &found.settings) {
                    unsaid.push(it.scope);
                }
                if !found.settings.own_actions {
                    users.extend(it.event.it.author.id);
                }
            }
        }
    }
    let protected_branches = ProtectedBranches::of(tables, &unsaid)?;
    let chat_names = ChatNames::of(tables, users)?;
    let decide = |it: Switched<'a>| {
        let around = Surroundings {
            scope: it.scope,
            protected_branches: &protected_branches,
            chat_names: &chat_names,
        };
        let mut candidates: Vec<(&Candidate, Result<Told, Reason>)> =
            Vec::with_capacity(it.candidates.len());
        for (candidate, switched) in it.candidates {
            let told = switched.and_then(|()| match settings_of(candidate) {
                Some(found) => filter::filtered(candidate, &it.event.it, &found.settings, &around),
                None => Err(Reason::NoChannel),
            });
            let told = told.and_then(|told| without_repeats(told, candidate, &candidates));
            candidates.push((candidate, told));
        }
        Decided {
            place: it.place,
            event: it.event,
            scope: it.scope,
            candidates,
        }
    };
    Ok(switched.into_iter().map(decide).collect())
}

/// An integration with two rows in a workspace notifies each channel once. Its rows are adjacent.
fn without_repeats<'a>(
    mut told: Told<'a>,
    candidate: &Candidate,
    before: &[(&Candidate, Result<Told, Reason>)],
) -> Result<Told<'a>, Reason> {
    let of_same = before
        .iter()
        .rev()
        .take_while(|(other, _)| other.integration == candidate.integration);
    for (_, other) in of_same {
        if let Ok(other) = other
            && other.team == told.team
        {
            told.channels.retain(|it| !other.channels.contains(it));
        }
    }
    match told.channels.is_empty() {
        true => Err(Reason::NoChannel),
        false => Ok(told),
    }
}

/// Writes the new events with their deliveries; returns their ids by key.
fn write(decided: &mut [Decided], schema: &str) -> Result<HashMap<String, i64>> {
    let events = decided.iter().map(|it| {
        let payload = it.told().next().map(|_| it.event.kept());
        (it.event.key, payload)
    });
    let ids = rows::events(events.collect(), schema)?;
    take_down_pipelines(decided, &ids, schema)?;
    let new = decided.iter_mut().filter_map(|it| {
        let event = ids.get(it.event.key).copied()?;
        Some((event, it))
    });
    let mut new: Vec<(i64, &mut Decided)> = new.collect();
    let names = new.iter().flat_map(|(_, it)| it.told());
    let names = names
        .flat_map(|(_, told)| told.channels.iter().map(|channel| (told.team, *channel)))
        .collect();
    let channels = channel::rows(names, schema)?;
    let mut deliveries = Vec::new();
    for (event, it) in &mut new {
        deliveries.extend(it.deliveries(*event, &channels));
    }
    rows::deliveries(&deliveries, schema)?;
    Ok(ids)
}

/// Integrations that only want pipelines that change the state of a branch are not notified of others. This is only known once
/// the events are written: an event that arrives again must not count as its own predecessor.
fn take_down_pipelines(
    decided: &mut [Decided],
    ids: &HashMap<String, i64>,
    schema: &str,
) -> Result<()> {
    let finished: Vec<(usize, Finished)> = decided
        .iter()
        .enumerate()
        .filter(|(_, it)| ids.contains_key(it.event.key))
        // Also where nobody has asked for changes only, or for pipelines at all: whoever turns it on later is compared with the
        // current state, not with an old one. Without any integration nobody can turn it on.
        .filter(|(_, it)| !it.candidates.is_empty())
        .filter_map(|(place, it)| {
            let pipeline = it.event.it.pipeline.as_ref();
            let pipeline = pipeline.filter(|pipeline| pipeline::is_finished(pipeline))?;
            Some((place, (it.scope.project?, pipeline)))
        })
        .collect();
    let (places, finished): (Vec<usize>, Vec<Finished>) = finished.into_iter().unzip();
    let changed = pipeline::take_down(&finished, schema)?;
    let mut untold = Vec::new();
    for (place, _) in places
        .into_iter()
        .zip(changed)
        .filter(|(_, changed)| !changed)
    {
        let Some(it) = decided.get_mut(place) else {
            continue;
        };
        let had_any = it.told().next().is_some();
        for (_, told) in &mut it.candidates {
            if matches!(told, Ok(told) if told.if_changed) {
                *told = Err(Reason::PipelineStatus);
            }
        }
        if had_any && it.told().next().is_none() {
            untold.extend(ids.get(it.event.key));
        }
    }
    rows::forget_payloads(&untold)
}

impl<'a> Decided<'a> {
    fn told(&self) -> impl Iterator<Item = (&'a Candidate, &Told<'a>)> {
        let candidates = self.candidates.iter();
        candidates.filter_map(|(candidate, told)| told.as_ref().ok().map(|told| (*candidate, told)))
    }

    /// What to deliver. An integration that has a channel by name and by id notifies it once.
    fn deliveries(
        &mut self,
        event: i64,
        channels: &HashMap<(&str, &str), Channel>,
    ) -> Vec<NewDelivery> {
        let mut deliveries = Vec::new();
        let mut lanes = HashSet::new();
        for (candidate, told) in &mut self.candidates {
            let Ok(told) = told else {
                continue;
            };
            let (team, integration) = (told.team, candidate.integration);
            told.channels.retain(|name| {
                let Some(channel) = channels.get(&(team, *name)).copied() else {
                    return false;
                };
                let is_first = lanes.insert((integration, channel.lane));
                if is_first {
                    deliveries.push(NewDelivery {
                        event,
                        integration,
                        slack_integration: told.slack_integration,
                        channel,
                    });
                }
                is_first
            });
        }
        deliveries
    }

    fn outcome(self) -> Outcome {
        let answer = |(candidate, told): (&Candidate, Result<Told, Reason>)| Answer {
            integration: candidate.integration,
            slack_integration: candidate.installed.as_ref().map(|(row, _)| *row),
            told: told.map(|told| told.channels.into_iter().map(str::to_owned).collect()),
        };
        Outcome::Published(self.candidates.into_iter().map(answer).collect())
    }
}
