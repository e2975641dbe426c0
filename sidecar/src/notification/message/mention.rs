//! Mentions of a group.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::issue::label;
use super::noteable::{Named, Noteables};
use super::payload::{Flag, Part, Project, Text, User, read};
use super::phrase::Phrase;
use super::user_text::NAME;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    event_type: Text,
    user: Part<User>,
    project: Part<Project>,
    mentioned: Part<Group>,
    group: Part<Group>,
    object_attributes: Part<Place>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Group {
    name: Text,
    full_path: Text,
    url: Text,
    web_url: Text,
}

/// Where it is mentioned: the fields of an issue, a merge request, or a comment.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Place {
    object_kind: Text,
    iid: Text,
    title: Text,
    description: Text,
    note: Text,
    noteable_type: Text,
    url: Text,
    confidential: Flag,
    internal: Flag,
}

impl Place {
    /// Where a description mentions it.
    fn named(&self, noun: &'static str, sign: &str) -> Named {
        Named {
            noun,
            label: label(sign, &self.iid, &self.title),
            is_confidential: self.confidential.is_set(),
        }
    }
}

pub(super) fn draft(event: &Value) -> Draft {
    let noteables: Noteables = read(event);
    let event: Event = read(event);
    let place = &event.object_attributes;
    let group = match event.mentioned.name.or(&event.mentioned.full_path) {
        "" => &event.group,
        _ => &event.mentioned,
    };
    let (on, text, within) = match &*place.object_kind {
        "issue" | "work_item" => (place.named("issue", "#"), &place.description, " in "),
        "merge_request" => (
            place.named("merge request", "!"),
            &place.description,
            " in ",
        ),
        _ => (
            noteables.named(&place.noteable_type),
            &place.note,
            " in a comment on ",
        ),
    };
    let headline = Phrase::of(&event.user)
        .words(" mentioned the group ")
        .link(
            group.url.or(&group.web_url),
            group.name.or(&group.full_path),
            NAME,
            "of this channel",
        )
        .words(within);
    let headline = on.after(headline, &place.url).within(&event.project);
    let is_confidential = &*event.event_type == "group_confidential_mention"
        || place.internal.is_set()
        || on.is_confidential;
    Draft::new(headline)
        .project(&event.project)
        .context(is_confidential.then(|| "🔒 confidential".to_owned()))
        .quote(text)
}
