//! Mentions of a group.

use lockstep_webhook::{Attributes, Event};

use super::issue::label;
use super::noteable::{self, Named};
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::NAME;

/// The description that mentions it.
fn named(place: &Attributes, noun: &'static str, sign: &str) -> Named {
    Named {
        noun,
        label: label(sign, &place.iid, &place.title),
        is_confidential: *place.confidential,
    }
}

pub(in super::super) fn draft(event: &Event) -> Draft {
    let place = &event.object_attributes;
    let group = match event.mentioned.name.or(&event.mentioned.full_path) {
        "" => &event.group,
        _ => &event.mentioned,
    };
    let (on, text, within) = match &**place.object_kind {
        "issue" | "work_item" => (named(place, "issue", "#"), &place.description, " in "),
        "merge_request" => (
            named(place, "merge request", "!"),
            &place.description,
            " in ",
        ),
        _ => (
            noteable::of(event, &place.noteable_type),
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
    let is_confidential =
        *event.event_type == "group_confidential_mention" || *place.internal || on.is_confidential;
    Draft::new(headline)
        .project(&event.project)
        .context(is_confidential.then(|| "🔒 confidential".to_owned()))
        .quote(text)
}
