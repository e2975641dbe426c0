//! Releases.

use lockstep_webhook::Event;

use super::super::moment;
use crate::notification::message::draft::{Draft, GOOD};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, code};

pub(super) fn draft(event: &Event) -> Draft {
    let (words, url) = match &**event.action {
        "create" => (" is published", &**event.url),
        // There is no page any more.
        "delete" => (" was deleted", ""),
        _ => (" has changed", &**event.url),
    };
    let name = event.name.or(&event.tag.name);
    let headline = Phrase::default()
        .marked("📦 ")
        .words("Release ")
        .link(url, name, TITLE, "without a name")
        .words(words)
        .within(&event.project);
    let tag = code(&event.tag.name, NAME);
    let draft = Draft::new(headline)
        .project(&event.project)
        .context((!tag.is_empty()).then(|| format!("tag {tag}")))
        .context(moment::shown(&event.released_at));
    match &**event.action {
        "create" => draft.quote(&event.description).color(GOOD),
        _ => draft,
    }
}
