//! Events of a kind that has no message of its own.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::payload::{Part, Project, Text, User, read};
use super::phrase::Phrase;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    object_kind: Text,
    user: Part<User>,
    project: Part<Project>,
}

pub(super) fn draft(event: &Value) -> Draft {
    let event: Event = read(event);
    let headline = Phrase::of(&event.user)
        .words(" caused an event: ")
        .code(&event.object_kind, "of no kind")
        .within(&event.project);
    Draft::new(headline).project(&event.project)
}
