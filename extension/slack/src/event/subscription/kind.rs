//! What a subscription names: kinds of events, conditions that they must fulfil, and a channel.

use crate::error::{Result, ServerError};
use crate::event::read::{KINDS, Kind};
use crate::event::settings::{Route, Settings, channels, conditions, setting, short};
use crate::subscription::Subscription;
use serde_json::Value;

/// Without a choice: what GitLab has a switch for and shows to reporters. In a private project guests do not see all of it: who
/// subscribes decides. An incident may be confidential; alerts are for developers.
fn is_default(kind: Kind) -> bool {
    is_possible(kind)
        && kind.column().is_some()
        && !kind.may_be_confidential()
        && kind != Kind::Alert
}

/// Only projects are followed.
fn is_possible(kind: Kind) -> bool {
    !kind.is_of_group()
}

/// What a subscription asks for.
pub(super) struct Wanted {
    /// The kinds of events, whether all of them or those that fulfil conditions.
    pub(super) kinds: Vec<Kind>,
    /// Each names its events.
    routes: Vec<Route>,
}

impl Wanted {
    /// An event that routes are for must take one of them; a route that names no events is for all of the subscription's.
    pub(super) fn by(subscription: &Subscription) -> Self {
        let of_events = kinds(&subscription.events);
        let names = || of_events.iter().map(|kind| kind.name().to_owned());
        let Some(routes) = stored(&subscription.routes) else {
            return Self {
                kinds: Vec::new(),
                routes: Vec::new(),
            };
        };
        let routes = routes
            .into_iter()
            .map(|route| match route.events.is_empty() {
                true => Route {
                    events: names().collect(),
                    ..route
                },
                false => route,
            });
        let routes: Vec<Route> = routes.collect();
        let is_wanted =
            |kind: &Kind| of_events.contains(kind) || routes.iter().any(|it| it.names(*kind));
        Self {
            kinds: KINDS.into_iter().filter(is_wanted).collect(),
            routes,
        }
    }

    pub(super) fn settings(self, channel: &str) -> Settings {
        let mut unrouted = self.kinds;
        unrouted.retain(|kind| !self.routes.iter().any(|it| it.names(*kind)));
        Settings::of_channel(channel, &unrouted, self.routes)
    }

    pub(super) fn names(&self) -> Vec<&'static str> {
        self.kinds.iter().map(|kind| kind.name()).collect()
    }
}

/// Stored conditions. None if another version has stored some that this one does not know: then nothing is wanted, since without
/// them the channel would get too much.
fn stored(routes: &str) -> Option<Vec<Route>> {
    let routes: Value = serde_json::from_str(routes).ok()?;
    conditions("routes", &routes).ok()
}

/// The kinds that stored names stand for.
fn kinds(events: &[String]) -> Vec<Kind> {
    let is_named = |kind: &Kind| events.iter().any(|event| event == kind.name());
    let all = KINDS.into_iter();
    match events.is_empty() {
        true => all.filter(|kind| is_default(*kind)).collect(),
        false => all.filter(is_named).collect(),
    }
}

/// The names of these events as they are stored, in a fixed order. An empty list is the default.
pub(super) fn events(given: Vec<Option<String>>) -> Result<Vec<String>> {
    let given: Option<Vec<String>> = given.into_iter().collect();
    let given = given.ok_or(ServerError::NullArgument {
        name: "an element of events",
    })?;
    let given: Vec<&str> = given.iter().map(|name| name.trim()).collect();
    let possible: Vec<Kind> = KINDS.into_iter().filter(|it| is_possible(*it)).collect();
    let is_known = |name: &str| possible.iter().any(|kind| kind.name() == name);
    if let Some(name) = given.iter().find(|name| !is_known(name)) {
        let names: Vec<&str> = possible.iter().map(|kind| kind.name()).collect();
        let problem = format!(
            "has \"{}\", which is none of {}",
            short(name),
            names.join(", ")
        );
        return Err(setting("events", problem));
    }
    let named = possible.into_iter().map(Kind::name);
    let named = named.filter(|name| given.contains(name));
    Ok(named.map(str::to_owned).collect())
}

/// Conditions as they are stored: the routes of an integration, without channels.
pub(super) fn routes(given: &Value) -> Result<String> {
    let routes = conditions("routes", given)?;
    for (place, route) in routes.iter().enumerate() {
        let path = |field: &str| format!("routes[{place}]{field}");
        if !route.channels.is_empty() {
            return Err(setting(
                path(".channels"),
                "is not part of a subscription's route",
            ));
        }
        let is_named = |kind: &Kind| route.events.iter().any(|event| event == kind.name());
        let mut of_groups = KINDS.into_iter().filter(|kind| kind.is_of_group());
        if let Some(kind) = of_groups.find(is_named) {
            let problem = format!(
                "has \"{}\", which is not an event of a project",
                kind.name()
            );
            return Err(setting(path(".events"), problem));
        }
    }
    serde_json::to_string(&routes).map_err(ServerError::catalog)
}

/// One channel, as it is stored.
pub(super) fn channel(given: &str) -> Result<String> {
    let mut channels = channels("channel", &Value::String(given.to_owned()))?;
    match (channels.pop(), channels.is_empty()) {
        (Some(channel), true) if !channel.starts_with(['D', 'U', 'W']) => Ok(channel),
        (Some(_), true) => Err(setting(
            "channel",
            "is a conversation with a person, who chooses direct messages with notify me",
        )),
        _ => Err(setting("channel", "is not one channel")),
    }
}
