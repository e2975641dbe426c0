//! The message that shows whether messages arrive.

use lockstep_webhook::Event;

use super::draft::Draft;
use super::phrase::Phrase;
use super::user_text::NAME;

pub(super) fn draft(event: &Event) -> Draft {
    let headline = Phrase::default()
        .marked("👋 ")
        .words("It works: this channel is told what happens in ")
        .link("", &event.integration.alias, NAME, "its projects");
    Draft::new(headline)
}
