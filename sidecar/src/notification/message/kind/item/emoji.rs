//! Emoji on issues, merge requests and so on.

use lockstep_webhook::Event;

use super::noteable;
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::NAME;

pub(in super::super) fn draft(event: &Event) -> Draft {
    let emoji = &event.object_attributes;
    let (before, after) = match event.event_type.or(&emoji.action) {
        "revoke" => (" took back ", " from "),
        _ => (" reacted with ", " to "),
    };
    // The name is the user's choice: as code it shows no picture of another name.
    let headline = Phrase::of(&event.user)
        .words(before)
        .code(&emoji.name, "an emoji")
        .words(after);
    let headline = match &**emoji.awardable_type {
        "Note" => headline.link(&emoji.awarded_on_url, "a comment", NAME, "a comment"),
        kind => noteable::of(event, kind).after(headline, &emoji.awarded_on_url),
    };
    Draft::new(headline.within(&event.project)).project(&event.project)
}
