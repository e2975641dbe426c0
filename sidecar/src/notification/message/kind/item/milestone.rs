//! Milestones.

use lockstep_webhook::Event;

use super::issue::due;
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::TITLE;

pub(in super::super) fn draft(event: &Event) -> Draft {
    let milestone = &event.object_attributes;
    let words = match event.action.or(&milestone.action) {
        "create" => " was created",
        "close" => " is closed",
        "reopen" => " is open again",
        "delete" => " was deleted",
        _ => " has changed",
    };
    let page = match milestone.iid.get() {
        Some(iid) if *event.action != "delete" => event.project.page(&format!("milestones/{iid}")),
        _ => String::new(),
    };
    let headline = Phrase::default()
        .marked("🏁 ")
        .words("Milestone ")
        .link(&page, &milestone.title, TITLE, "without a title")
        .words(words)
        .within(&event.project);
    let draft = Draft::new(headline)
        .project(&event.project)
        .context(due(&milestone.due_date));
    match words {
        " was created" => draft.quote(&milestone.description),
        _ => draft,
    }
}
