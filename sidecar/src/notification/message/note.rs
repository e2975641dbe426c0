//! Comments.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::noteable::Noteables;
use super::payload::{Flag, Part, Project, Text, User, read};
use super::phrase::Phrase;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    event_type: Text,
    user: Part<User>,
    project: Part<Project>,
    object_attributes: Part<Note>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Note {
    note: Text,
    noteable_type: Text,
    action: Text,
    url: Text,
    internal: Flag,
    confidential: Flag,
}

pub(super) fn draft(event: &Value) -> Draft {
    let noteables: Noteables = read(event);
    let event: Event = read(event);
    let note = &event.object_attributes;
    let on = noteables.named(&note.noteable_type);
    let verb = match &*note.action {
        "update" => "edited a comment on",
        _ => "commented on",
    };
    let headline = Phrase::of(&event.user).words(&format!(" {verb} "));
    let headline = on.after(headline, &note.url).within(&event.project);
    let is_confidential = &*event.event_type == "confidential_note"
        || note.internal.is_set()
        || note.confidential.is_set()
        || on.is_confidential;
    Draft::new(headline)
        .project(&event.project)
        .context(is_confidential.then(|| "🔒 confidential".to_owned()))
        .quote(&note.note)
}
