//! Pages of wikis.

use serde::Deserialize;
use serde_json::Value;

use super::draft::Draft;
use super::link::link;
use super::payload::{Part, Project, Text, User, read};
use super::phrase::Phrase;
use super::user_text::TITLE;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Event {
    user: Part<User>,
    project: Part<Project>,
    object_attributes: Part<Page>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    title: Text,
    slug: Text,
    url: Text,
    /// That of the commit.
    message: Text,
    action: Text,
    diff_url: Text,
}

pub(super) fn draft(event: &Value) -> Draft {
    let event: Event = read(event);
    let page = &event.object_attributes;
    let (verb, url) = match &*page.action {
        "create" => ("created", &*page.url),
        // There is nothing to see any more.
        "delete" => ("deleted", ""),
        _ => ("edited", &*page.url),
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
