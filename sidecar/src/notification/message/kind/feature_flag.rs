//! Feature flags of projects.

use lockstep_webhook::Event;

use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;

pub(super) fn draft(event: &Event) -> Draft {
    let flag = &event.object_attributes;
    let verb = match *flag.active {
        true => " switched on",
        false => " switched off",
    };
    let headline = Phrase::of(&event.user)
        .words(verb)
        .words(" feature flag ")
        .code(&flag.name, "without a name")
        .within(&event.project);
    Draft::new(headline)
        .project(&event.project)
        .quote(&flag.description)
}
