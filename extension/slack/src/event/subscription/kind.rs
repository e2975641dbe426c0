//! What a subscription names: kinds of events, and a channel.

use crate::error::{Result, ServerError};
use crate::event::read::{KINDS, Kind};
use crate::event::settings::{channels, setting, short};
use serde_json::Value;

/// Without a choice: what GitLab has a switch for and shows to reporters. In a private project guests do not see all of it: who
/// subscribes decides. An incident may be confidential, and its event does not say so; alerts are for developers.
fn is_default(kind: Kind) -> bool {
    is_possible(kind)
        && kind.column().is_some()
        && !kind.is_confidential()
        && !matches!(kind, Kind::Incident | Kind::Alert)
}

/// Only projects are followed.
fn is_possible(kind: Kind) -> bool {
    !kind.is_of_group()
}

/// The kinds that stored names stand for.
pub(super) fn kinds(events: &[String]) -> Vec<Kind> {
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
