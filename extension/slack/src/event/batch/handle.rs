//! Publishes or explains a batch: parses, looks up, decides, and writes.

use super::decided::{Decided, Decision, Event, Outcome, Received};
use super::same_channel::once_per_channel;
use super::write::{finished, keep_back, write};
use crate::error::Result;
use crate::event::person::Choices;
use crate::event::read::{Facts, Flaw, Kind, Occurrence, People, Place};
use crate::event::recipients::{
    By, Candidate, Candidates, ChatNames, Circle, Notifications, ProtectedBranches, Reason, Scope,
    Scopes, Surroundings, Told, filter, is_of_tag, previous_sha, user_group, verdicts,
};
use crate::event::settings::{Effective, Settings, effective};
use crate::event::subscription::subscribe;
use crate::event::tables::Tables;
use crate::event::written::pipeline;
use std::collections::{BTreeSet, HashMap, HashSet};

/// Maximum length of a key.
const MOST_OF_KEY: usize = 255;

/// Publishes events; returns the outcome of each.
pub(in crate::event) fn publish(events: &[Received], schema: &str) -> Result<Vec<Outcome>> {
    handle(events, schema, write)
}

/// What publishing these events would do.
pub(in crate::event) fn explain(events: &[Received], schema: &str) -> Result<Vec<Outcome>> {
    handle(events, schema, |decided, schema| {
        for it in decided.iter_mut() {
            it.id = Some(0);
        }
        let (places, finished) = finished(decided);
        let changes = pipeline::look(&finished, schema)?;
        keep_back(decided, places, changes);
        once_per_channel(decided, schema)
    })
}

/// The settings of those that might be notified.
struct AllSettings {
    integrations: HashMap<i64, Effective>,
    subscriptions: HashMap<i64, Settings>,
}

impl AllSettings {
    fn of(&self, candidate: &Candidate) -> Option<&Settings> {
        match candidate.by {
            By::Integration(id) => self.integrations.get(&id).map(|found| &*found.settings),
            By::Subscription(id) => self.subscriptions.get(&id),
        }
    }
}

/// An event with a place, and what might be notified according to the application's own switches.
struct Switched<'a> {
    /// Its position in the batch.
    place: usize,
    event: &'a Event<'a>,
    scope: &'a Scope,
    candidates: Vec<(&'a Candidate, Result<(), Reason>)>,
}

fn handle(
    events: &[Received],
    schema: &str,
    write: impl FnOnce(&mut [Decided], &str) -> Result<()>,
) -> Result<Vec<Outcome>> {
    let tables = Tables::attached(schema)?;
    let events: Vec<Result<Event, Flaw>> = events.iter().map(read).collect();
    let places = || events.iter().flatten().map(|event| &event.it.place);
    let (scopes, mut candidates) = tables.as_owner(|| {
        let scopes = Scopes::look_up(&tables, places());
        let found: Vec<&Scope> = places().filter_map(|place| scopes.of(place)).collect();
        let candidates = Candidates::look_up(&tables, &found);
        (scopes, candidates)
    });
    let projects = places().filter_map(|place| scopes.of(place)?.project);
    let subscribed = subscribe(&mut candidates, schema, projects.collect())?;
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
    let integrations = let_through.filter_map(|(candidate, _)| {
        let integration = candidate.integration()?;
        Some((integration, candidate.inherits_from))
    });
    let settings = AllSettings {
        integrations: effective(&tables, integrations)?,
        subscriptions: subscribed,
    };
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
    settings: &'a AllSettings,
) -> Result<Vec<Decided<'a>>> {
    let settings_of = |candidate: &Candidate| settings.of(candidate);
    let mut unsaid = Vec::new();
    let mut users = BTreeSet::new();
    // By place in the batch, where anybody is to be mentioned.
    let mut people: HashMap<usize, People> = HashMap::new();
    for it in &switched {
        for (candidate, switched) in &it.candidates {
            if let (Ok(()), Some(found)) = (switched, settings_of(candidate)) {
                if filter::needs_protected_branches(&it.event.it, found) {
                    unsaid.push(it.scope);
                }
                if !found.own_actions {
                    users.extend(it.event.it.author.id);
                }
                if found.mentions && !people.contains_key(&it.place) {
                    let read = People::read(it.event.text, it.event.it.kind);
                    users.extend(&read.users);
                    people.insert(it.place, read);
                }
            }
        }
    }
    let protected_branches = ProtectedBranches::of(tables, &unsaid)?;
    let chat_names = ChatNames::of(tables, users)?;
    let choices = match people.is_empty() {
        true => BTreeSet::new(),
        false => chat_names.people(),
    };
    let choices = Choices::of_people(&tables.schema, choices)?;
    let mut circle = Circle::new(&chat_names, &choices);
    let mut asked = BTreeSet::new();
    for it in &switched {
        for (candidate, switched) in &it.candidates {
            if let (Ok(()), Some((_, team)), Some(people)) =
                (switched, &candidate.installed, people.get(&it.place))
            {
                asked.extend(circle.asked(people, it.scope, team));
            }
        }
    }
    circle.look_up(&tables.schema, asked);
    let decide = |it: Switched<'a>| {
        let event = &it.event.it;
        let asks_for_tag = event.kind == Kind::Deployment
            && event.branch.is_some()
            && it.candidates.iter().any(|(_, switched)| switched.is_ok());
        let around = Surroundings {
            scope: it.scope,
            protected_branches: &protected_branches,
            chat_names: &chat_names,
            is_of_tag: asks_for_tag && is_of_tag(tables, it.scope, it.event.text)?,
        };
        let mut facts = None;
        let mut candidates: Vec<Decision> = Vec::with_capacity(it.candidates.len());
        for (candidate, switched) in it.candidates {
            let settings = settings_of(candidate).filter(|_| switched.is_ok());
            let verdicts = match settings.filter(|settings| !settings.routes.is_empty()) {
                Some(settings) => {
                    let facts =
                        facts.get_or_insert_with(|| Facts::read(it.event.text, around.is_of_tag));
                    verdicts(settings, event, facts)
                }
                None => Vec::new(),
            };
            let told = switched.and_then(|()| match settings {
                Some(settings) => filter::filtered(candidate, event, settings, &verdicts, &around),
                None => Err(Reason::NoChannel),
            });
            let mut told = told.and_then(|told| without_repeats(told, candidate, &candidates));
            if let (Ok(told), Some(settings), Some(people)) =
                (&mut told, settings, people.get(&it.place))
                && settings.mentions
            {
                told.persons = circle.persons(people, &event.author, it.scope, told.team);
                told.user_group = user_group(people, settings);
            }
            candidates.push(Decision {
                candidate,
                settings,
                verdicts,
                told,
            });
        }
        let is_told = candidates.iter().any(|it| it.told.is_ok());
        let previous_sha = match event.kind {
            Kind::Deployment if is_told => previous_sha(tables, it.scope, it.event.text)?,
            _ => None,
        };
        Ok(Decided {
            place: it.place,
            event: it.event,
            scope: it.scope,
            candidates,
            previous_sha,
            id: None,
        })
    };
    switched.into_iter().map(decide).collect()
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
        .take_while(|other| other.candidate.by == candidate.by);
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
