//! Publishes a batch of events: lookups, decisions and writes are done for the whole batch, each step with statements for all
//! events.

use super::read::{Facts, Flaw, Occurrence, Place};
use super::settings::{Effective, Settings, effective};
use super::tables::Tables;
use super::told::{
    Candidate, Candidates, ChatNames, Notifications, ProtectedBranches, Reason, Scope, Scopes,
    Surroundings, Told, Verdict, filter, verdicts,
};
use super::written::{Change, Channel, Finished, NewDelivery, channel, copies, pipeline, rows};
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
    /// What becomes of it at each of the integration's routes.
    pub(super) routes: Vec<(Vec<String>, Verdict)>,
    /// The channels, or why none is notified.
    pub(super) told: Result<Vec<String>, Reason>,
}

impl Answer {
    pub(super) fn deliveries(&self) -> usize {
        self.told.as_ref().map_or(0, Vec::len)
    }
}

/// An event to publish.
pub(super) struct Received<'a> {
    pub(super) text: Option<&'a str>,
    pub(super) key: String,
    /// The webhook that sent it and the id of the request, if it came by one.
    pub(super) request: Option<&'a str>,
}

/// A valid event.
struct Event<'a> {
    key: &'a str,
    request: Option<&'a str>,
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

/// An integration that might be notified, with its settings and what becomes of the event at its routes.
struct Decision<'a> {
    candidate: &'a Candidate,
    settings: Option<&'a Settings>,
    verdicts: Vec<Verdict>,
    told: Result<Told<'a>, Reason>,
}

/// The same, with the channels to notify.
struct Decided<'a> {
    place: usize,
    event: &'a Event<'a>,
    scope: &'a Scope,
    candidates: Vec<Decision<'a>>,
    /// Its number once it is written; none if it was published before.
    id: Option<i64>,
}

/// Publishes events; returns the outcome of each.
pub(super) fn publish(events: &[Received], schema: &str) -> Result<Vec<Outcome>> {
    handle(events, schema, write)
}

/// What publishing these events would do.
pub(super) fn explain(events: &[Received], schema: &str) -> Result<Vec<Outcome>> {
    handle(events, schema, |decided, schema| {
        for it in decided.iter_mut() {
            it.id = Some(0);
        }
        let (places, finished) = finished(decided);
        let changes = pipeline::look(&finished, schema)?;
        keep_back(decided, places, changes);
        Ok(())
    })
}

fn handle(
    events: &[Received],
    schema: &str,
    write: impl FnOnce(&mut [Decided], &str) -> Result<()>,
) -> Result<Vec<Outcome>> {
    let tables = Tables::attached(schema)?;
    let events: Vec<Result<Event, Flaw>> = events.iter().map(read).collect();
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
                    // The same event by another webhook is the same, by the same webhook another one: see `copies`.
                    if keys.insert(event.key) || event.request.is_some() {
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
    write(&mut decided, schema)?;
    for decided in decided.into_iter().filter(|it| it.id.is_some()) {
        if let Some(outcome) = outcomes.get_mut(decided.place) {
            *outcome = decided.outcome();
        }
    }
    Ok(outcomes)
}

fn read<'a>(event: &'a Received) -> Result<Event<'a>, Flaw> {
    let Received { text, key, request } = event;
    let flaw = |name: &str| Flaw::Field(name.to_owned());
    let length = key.chars().count();
    if length == 0 || length > MOST_OF_KEY {
        return Err(flaw("key"));
    }
    // Together they may become a key.
    if request.is_some_and(|request| length + request.chars().count() >= MOST_OF_KEY) {
        return Err(flaw("request"));
    }
    let text = text.ok_or_else(|| flaw("object_kind"))?;
    Ok(Event {
        key,
        request: *request,
        text,
        it: Occurrence::read(text)?,
    })
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
                .map(|it| (it, filter::switched(it, &event.it, scope, is_on)))
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
        let event = &it.event.it;
        let mut facts = None;
        let mut candidates: Vec<Decision> = Vec::with_capacity(it.candidates.len());
        for (candidate, switched) in it.candidates {
            let found = settings_of(candidate).filter(|_| switched.is_ok());
            let settings = found.map(|found| &*found.settings);
            let verdicts = match settings.filter(|settings| !settings.routes.is_empty()) {
                Some(settings) => {
                    let facts = facts.get_or_insert_with(|| Facts::read(it.event.text));
                    verdicts(settings, event, facts)
                }
                None => Vec::new(),
            };
            let told = switched.and_then(|()| match settings {
                Some(settings) => filter::filtered(candidate, event, settings, &verdicts, &around),
                None => Err(Reason::NoChannel),
            });
            let told = told.and_then(|told| without_repeats(told, candidate, &candidates));
            candidates.push(Decision {
                candidate,
                settings,
                verdicts,
                told,
            });
        }
        Decided {
            place: it.place,
            event: it.event,
            scope: it.scope,
            candidates,
            id: None,
        }
    };
    Ok(switched.into_iter().map(decide).collect())
}

/// An integration with two rows in a workspace notifies each channel once. Its rows are adjacent.
fn without_repeats<'a>(
    mut told: Told<'a>,
    candidate: &Candidate,
    before: &[Decision],
) -> Result<Told<'a>, Reason> {
    let of_same = before
        .iter()
        .rev()
        .take_while(|other| other.candidate.integration == candidate.integration);
    for other in of_same {
        if let Ok(other) = &other.told
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

/// Writes the new events with their deliveries.
fn write(decided: &mut [Decided], schema: &str) -> Result<()> {
    write_events(decided, schema)?;
    take_down_pipelines(decided, schema)?;
    let new = decided.iter_mut().filter_map(|it| Some((it.id?, it)));
    let mut new: Vec<(i64, &mut Decided)> = new.collect();
    let names = new.iter().flat_map(|(_, it)| it.told());
    let names = names
        .flat_map(|told| told.channels.iter().map(|channel| (told.team, *channel)))
        .collect();
    let channels = channel::rows(names, schema)?;
    let mut deliveries = Vec::new();
    for (event, it) in &mut new {
        deliveries.extend(it.deliveries(*event, &channels));
    }
    rows::deliveries(&deliveries, schema)?;
    Ok(())
}

/// Writes the events that are new, and numbers them.
fn write_events(decided: &mut [Decided], schema: &str) -> Result<()> {
    let mut keys = HashSet::new();
    let first = decided.iter().filter(|it| keys.insert(it.event.key));
    let events = first.map(|it| it.written(it.event.key.to_owned()));
    let mut ids = rows::events(events.collect(), schema)?;
    let left = decided.iter_mut().filter_map(|it| {
        it.id = ids.remove(it.event.key);
        let request = it.event.request?;
        it.id.is_none().then_some((request, it))
    });
    let left: Vec<(&str, &mut Decided)> = left.collect();
    if left.is_empty() {
        return Ok(());
    }
    let asked = left.iter().map(|(request, it)| (it.event.key, *request));
    let is_new = copies::count(asked.collect(), schema)?;
    let again = left.into_iter().zip(is_new);
    let again: Vec<(String, &mut Decided)> = again
        .filter(|(_, is_new)| *is_new)
        .map(|((request, it), _)| (format!("{} {request}", it.event.key), it))
        .collect();
    let events = again.iter().map(|(key, it)| it.written(key.clone()));
    let mut ids = rows::events(events.collect(), schema)?;
    for (key, it) in again {
        it.id = ids.remove(&key);
    }
    Ok(())
}

/// An end of a pipeline counts once, and integrations that only want pipelines that change the state of a branch are not notified
/// of others. This is only known once the events are written: an event that arrives again must not count as its own predecessor.
fn take_down_pipelines(decided: &mut [Decided], schema: &str) -> Result<()> {
    let (places, finished) = finished(decided);
    let changes = pipeline::take_down(&finished, schema)?;
    let untold = keep_back(decided, places, changes);
    rows::forget_payloads(&untold)
}

/// The new events that are the end of a pipeline, with their places.
fn finished<'a>(decided: &[Decided<'a>]) -> (Vec<usize>, Vec<Finished<'a>>) {
    let finished = decided
        .iter()
        .enumerate()
        .filter(|(_, it)| it.id.is_some())
        // Also where nobody has asked for changes only, or for pipelines at all: whoever turns it on later is compared with the
        // current state, not with an old one. Without any integration nobody can turn it on.
        .filter(|(_, it)| !it.candidates.is_empty())
        .filter_map(|(place, it)| {
            let pipeline = it.event.it.pipeline.as_ref();
            let pipeline = pipeline.filter(|pipeline| pipeline::is_finished(pipeline))?;
            let finished = Finished {
                project: it.scope.project?,
                state_of: pipeline.state_of.as_deref()?,
                pipeline,
            };
            Some((place, finished))
        });
    finished.unzip()
}

/// Returns the events that nobody is notified of after all.
fn keep_back(decided: &mut [Decided], places: Vec<usize>, changes: Vec<Change>) -> Vec<i64> {
    let mut untold = Vec::new();
    for (place, change) in places.into_iter().zip(changes) {
        let Some(it) = decided.get_mut(place) else {
            continue;
        };
        let had_any = it.told().next().is_some();
        for decision in &mut it.candidates {
            if let Ok(told) = &decision.told
                && let Some(reason) = told.kept_back(change)
            {
                decision.told = Err(reason);
            }
        }
        if had_any && it.told().next().is_none() {
            untold.extend(it.id);
        }
    }
    untold
}

impl<'a> Decided<'a> {
    /// What is written of the event, under that key.
    fn written(&self, key: String) -> rows::NewEvent<'a> {
        rows::NewEvent {
            key,
            payload: self.told().next().map(|_| self.event.kept()),
            request: self.event.request,
        }
    }

    fn told(&self) -> impl Iterator<Item = &Told<'a>> {
        let candidates = self.candidates.iter();
        candidates.filter_map(|decision| decision.told.as_ref().ok())
    }

    /// What to deliver. An integration that has a channel by name and by id notifies it once.
    fn deliveries(
        &mut self,
        event: i64,
        channels: &HashMap<(&str, &str), Channel>,
    ) -> Vec<NewDelivery> {
        let mut deliveries = Vec::new();
        let mut lanes = HashSet::new();
        for decision in &mut self.candidates {
            let Ok(told) = &mut decision.told else {
                continue;
            };
            let (team, integration) = (told.team, decision.candidate.integration);
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
        let answer = |it: Decision| {
            let routes = it.settings.map_or(&[][..], |settings| &settings.routes);
            let routes = routes.iter().zip(it.verdicts);
            let channels = |told: Told| told.channels.into_iter().map(str::to_owned).collect();
            Answer {
                integration: it.candidate.integration,
                slack_integration: it.candidate.installed.as_ref().map(|(row, _)| *row),
                routes: routes
                    .map(|(route, verdict)| (route.channels.clone(), verdict))
                    .collect(),
                told: it.told.map(channels),
            }
        };
        Outcome::Published(self.candidates.into_iter().map(answer).collect())
    }
}
