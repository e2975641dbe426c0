//! Alerts.

use serde::Deserialize;
use serde_json::Value;

use super::draft::{Draft, ORANGE};
use super::moment;
use super::payload::{Part, Project, Text, read};
use super::phrase::Phrase;
use super::user_text::{NAME, TITLE, line};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    project: Part<Project>,
    object_attributes: Part<Alert>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alert {
    title: Text,
    url: Text,
    severity: Text,
    events: Text,
    status: Text,
    started_at: Text,
}

pub(super) fn draft(event: &Value) -> Draft {
    let event: Event = read(event);
    let alert = &event.object_attributes;
    let words = match &*alert.status {
        "acknowledged" => " was acknowledged",
        "resolved" => " is resolved",
        "ignored" => " is ignored",
        _ => " is firing",
    };
    let headline = Phrase::default()
        .marked("🚨 ")
        .words("Alert ")
        .link(&alert.url, &alert.title, TITLE, "without a title")
        .words(words)
        .within(&event.project);
    let started = moment::shown(&alert.started_at).unwrap_or_else(|| line(&alert.started_at, NAME));
    Draft::new(headline)
        .field("Severity", &line(&alert.severity, NAME))
        .field("Events", &line(&alert.events, NAME))
        .field("Status", &line(&alert.status, NAME))
        .field("Began", &started)
        .project(&event.project)
        .color(ORANGE)
}
