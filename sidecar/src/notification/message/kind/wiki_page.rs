//! Pages of wikis.

use lockstep_webhook::Event;

use crate::notification::message::draft::Draft;
use crate::notification::message::markup::link::link;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::TITLE;

pub(super) fn draft(event: &Event) -> Draft {
    let page = &event.object_attributes;
    let (verb, url) = match &**page.action {
        "create" => ("created", &**page.url),
        // There is no page any more.
        "delete" => ("deleted", ""),
        _ => ("edited", &**page.url),
    };
    let headline = Phrase::of(&event.user)
        .words(&format!(" {verb} wiki page "))
        .link(url, page.title.or(&page.slug), TITLE, "without a title")
        .within(&event.project);
    let changes = link(&page.diff_url, "Changes");
    let is_linked = changes.starts_with('<');
    Draft::new(headline)
        .project(&event.project)
        .context(is_linked.then_some(changes))
        .quote(&page.message)
}
