//! Merge requests. Their messages never have a color: see
//! [`Message::arguments`](crate::notification::message::Message::arguments).

use lockstep_webhook::{Attributes, Event};

use super::changed;
use super::issue::label;
use crate::notification::message::draft::Draft;
use crate::notification::message::markup::list::named;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, code};

pub(in super::super) fn draft(event: &Event) -> Draft {
    let request = &event.object_attributes;
    let (before, after) = words(event);
    let headline = Phrase::of(&event.user)
        .words(&format!(" {before} "))
        .link(
            &request.url,
            &label("!", &request.iid, &request.title),
            TITLE,
            "a merge request without a title",
        )
        .words(&after)
        .within(&event.project);
    let is_draft = *request.draft || *request.work_in_progress;
    let draft = Draft::new(headline)
        .project(&event.project)
        .context(branches(request))
        .context(is_draft.then(|| "draft".to_owned()))
        .context(named(
            "labels: ",
            event.labels.iter().map(|label| &**label.title),
        ));
    if *request.action != "open" {
        return draft;
    }
    draft
        .context(named(
            "reviewers: ",
            event
                .reviewers
                .iter()
                .map(|user| user.name.or(&user.username)),
        ))
        .quote(&request.description)
}

/// The words before and after the merge request.
fn words(event: &Event) -> (String, String) {
    let verb = match &**event.object_attributes.action {
        "open" => "opened merge request",
        "close" => "closed merge request",
        "reopen" => "reopened merge request",
        "merge" => "merged",
        "approved" => "approved",
        "approval" => "added an approval to",
        "unapproved" => "withdrew the approval of",
        "unapproval" => "took back an approval of",
        _ => {
            let words = changed::words(&event.changes);
            return words.unwrap_or(("updated merge request".to_owned(), String::new()));
        }
    };
    (verb.to_owned(), String::new())
}

fn branches(request: &Attributes) -> Option<String> {
    let source = code(&request.source_branch, NAME);
    let target = code(&request.target_branch, NAME);
    match (source.is_empty(), target.is_empty()) {
        (false, false) => Some(format!("{source} → {target}")),
        (false, true) => Some(source),
        (true, false) => Some(format!("→ {target}")),
        (true, true) => None,
    }
}
