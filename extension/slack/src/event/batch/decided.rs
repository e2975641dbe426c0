//! The events of a batch, what is decided of each, and what becomes of it.

use crate::error::Result;
use crate::event::read::{Flaw, Occurrence};
use crate::event::recipients::{Candidate, Person, Reason, Scope, Told, Verdict};
use crate::event::settings::Settings;
use crate::event::written::{Channel, NewDelivery, Source, rows};
use lockstep_webhook::trimmed;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// The outcome of an event.
pub(in crate::event) enum Outcome {
    /// The result for each integration and subscription that might be notified.
    Published(Vec<Answer>),
    Duplicate,
    Flawed(Flaw),
    /// It happened in an unknown project or group.
    Nowhere(String),
}

pub(in crate::event) struct Answer {
    pub(in crate::event) integration: Option<i64>,
    pub(in crate::event) slack_integration: Option<i64>,
    pub(in crate::event) subscription: Option<i64>,
    /// What becomes of it at each of the integration's routes.
    pub(in crate::event) routes: Vec<(Vec<String>, Verdict)>,
    /// The channels, or why none is notified.
    pub(in crate::event) told: Result<Vec<String>, Reason>,
    /// The people that the event is for.
    pub(in crate::event) persons: Vec<Person>,
}

impl Answer {
    pub(in crate::event) fn deliveries(&self) -> usize {
        let people = self.persons.iter().filter_map(Person::direct_message);
        self.told.as_ref().map_or(0, Vec::len) + people.count()
    }
}

/// An event to publish.
pub(in crate::event) struct Received<'a> {
    pub(in crate::event) text: Option<&'a str>,
    pub(in crate::event) key: String,
    /// The webhook that sent it and the id of the request, if it came by one.
    pub(in crate::event) request: Option<&'a str>,
}

/// A valid event.
pub(super) struct Event<'a> {
    pub(super) key: &'a str,
    pub(super) request: Option<&'a str>,
    pub(super) text: &'a str,
    pub(super) it: Occurrence<'a>,
}

impl<'a> Event<'a> {
    /// The part that is stored, with what was deployed before.
    fn kept(&self, previous_sha: Option<&str>) -> Cow<'a, str> {
        let kept = match self.it.has_superfluous {
            true => Cow::Owned(trimmed(self.text)),
            false => Cow::Borrowed(self.text),
        };
        let Some(sha) = previous_sha else {
            return kept;
        };
        match serde_json::from_str::<Map<String, Value>>(&kept) {
            Ok(mut event) => {
                event.insert("previous_sha".to_owned(), sha.into());
                Cow::Owned(Value::from(event).to_string())
            }
            Err(_) => kept,
        }
    }
}

/// An integration or a subscription that might be notified, with its settings and what becomes of the event at its routes.
pub(super) struct Decision<'a> {
    pub(super) candidate: &'a Candidate,
    pub(super) settings: Option<&'a Settings>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) told: Result<Told<'a>, Reason>,
}

/// An event with a place, and its channels to notify.
pub(super) struct Decided<'a> {
    pub(super) place: usize,
    pub(super) event: &'a Event<'a>,
    pub(super) scope: &'a Scope,
    pub(super) candidates: Vec<Decision<'a>>,
    /// What was deployed there before.
    pub(super) previous_sha: Option<String>,
    /// Its number once it is written; none if it was published before.
    pub(super) id: Option<i64>,
}

impl<'a> Decided<'a> {
    /// What is written of the event, under that key.
    pub(super) fn written(&self, key: String) -> rows::NewEvent<'a> {
        rows::NewEvent {
            key,
            project: self.scope.project,
            payload: self
                .told()
                .next()
                .map(|_| self.event.kept(self.previous_sha.as_deref())),
            request: self.event.request,
        }
    }

    pub(super) fn told(&self) -> impl Iterator<Item = &Told<'a>> {
        let candidates = self.candidates.iter();
        candidates.filter_map(|decision| decision.told.as_ref().ok())
    }

    /// What to deliver. An integration that has a channel by name and by id notifies it once.
    pub(super) fn deliveries(
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
            let (team, by) = (told.team, decision.candidate.by);
            let (source, mentions) = (told.source, told.mentions());
            let mut deliver = |name: &str, mentions: Option<String>, wait: Option<i64>| {
                let Some(channel) = channels.get(&(team, name)).copied() else {
                    return false;
                };
                let is_first = lanes.insert((by, channel.lane));
                if is_first {
                    deliveries.push(NewDelivery {
                        event,
                        source,
                        channel,
                        mentions,
                        wait,
                    });
                }
                is_first
            };
            told.channels
                .retain(|name| deliver(name, mentions.clone(), None));
            told.persons.retain_mut(|person| {
                if let Some((user, wait)) = person.direct_message()
                    && !deliver(user, None, Some(wait))
                {
                    // The channels above include the conversation with this person.
                    person.direct = None;
                }
                true
            });
        }
        deliveries
    }

    pub(super) fn outcome(self) -> Outcome {
        let answer = |it: Decision| {
            let source = it.candidate.installed.as_ref().map(|(source, _)| *source);
            let routes = it.settings.map_or(&[][..], |settings| &settings.routes);
            let routes = routes.iter().zip(it.verdicts);
            let (told, persons) = match it.told {
                Ok(told) => {
                    let channels = told.channels.into_iter().map(str::to_owned);
                    (Ok(channels.collect()), told.persons)
                }
                Err(reason) => (Err(reason), Vec::new()),
            };
            Answer {
                integration: it.candidate.integration(),
                slack_integration: source.and_then(Source::row),
                subscription: it.candidate.subscription(),
                routes: routes
                    .map(|(route, verdict)| (route.channels.clone(), verdict))
                    .collect(),
                told,
                persons,
            }
        };
        Outcome::Published(self.candidates.into_iter().map(answer).collect())
    }
}
