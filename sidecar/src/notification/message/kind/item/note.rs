//! Comments.

use lockstep_webhook::Event;

use super::noteable;
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;

pub(in super::super) fn draft(event: &Event) -> Draft {
    let note = &event.object_attributes;
    let on = noteable::of(event, &note.noteable_type);
    let verb = match &**note.action {
        "update" => "edited a comment on",
        _ => "commented on",
    };
    let headline = Phrase::of(&event.user).words(&format!(" {verb} "));
    let headline = on.after(headline, &note.url).within(&event.project);
    let is_confidential = *event.event_type == "confidential_note"
        || *note.internal
        || *note.confidential
        || on.is_confidential;
    Draft::new(headline)
        .project(&event.project)
        .context(is_confidential.then(|| "🔒 confidential".to_owned()))
        .quote(&note.note)
}
