//! The test message.

use lockstep_webhook::Event;

use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::NAME;

pub(super) fn draft(event: &Event) -> Draft {
    let headline = Phrase::default()
        .marked("👋 ")
        .words("It works: this channel will be notified of events in ")
        .link("", &event.integration.alias, NAME, "its projects");
    Draft::new(headline)
}
