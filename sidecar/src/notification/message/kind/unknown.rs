//! Events of a kind that has no message of its own.

use lockstep_webhook::Event;

use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;

pub(super) fn draft(event: &Event) -> Draft {
    let headline = Phrase::of(&event.user)
        .words(" caused an event: ")
        .code(&event.object_kind, "of no kind")
        .within(&event.project);
    Draft::new(headline).project(&event.project)
}
