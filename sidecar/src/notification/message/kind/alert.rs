//! Alerts.

use lockstep_webhook::Event;

use super::super::moment;
use crate::notification::message::draft::{Draft, ORANGE};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, line};

pub(super) fn draft(event: &Event) -> Draft {
    let alert = &event.object_attributes;
    let words = match &**alert.status {
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
        .field("Events", &alert.events.written())
        .field("Status", &line(&alert.status, NAME))
        .field("Began", &started)
        .project(&event.project)
        .color(ORANGE)
}
