//! Issues, confidential ones, incidents, and other work items.

use lockstep_webhook::{Event, Field};

use super::changed;
use crate::notification::message::draft::{Draft, ORANGE};
use crate::notification::message::markup::list::named;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, line};

pub(in super::super) fn draft(event: &Event) -> Draft {
    let issue = &event.object_attributes;
    let kind = issue.kind.or(&issue.work_item_type).to_lowercase();
    let noun = match kind.as_str() {
        "incident" => "incident",
        "task" => "task",
        "epic" => "epic",
        "objective" => "objective",
        "key result" | "keyresult" => "key result",
        "ticket" => "ticket",
        "requirement" => "requirement",
        "test case" | "testcase" => "test case",
        _ => "issue",
    };
    let verb = match &**issue.action {
        "open" => "opened",
        "close" => "closed",
        "reopen" => "reopened",
        _ => "updated",
    };
    let (before, after) = match verb {
        "updated" => changed::words(&event.changes),
        _ => None,
    }
    .unwrap_or((verb.to_owned(), String::new()));
    let headline = Phrase::of(&event.user)
        .words(&format!(" {before} {noun} "))
        .link(
            &issue.url,
            &label("#", &issue.iid, &issue.title),
            TITLE,
            "without a title",
        )
        .words(&after)
        .within(&event.project);
    let is_confidential = *issue.confidential || event.event_type.starts_with("confidential_");
    let severity = match noun {
        "incident" => severity(&issue.severity),
        _ => None,
    };
    let labels = match event.labels.is_empty() {
        true => &issue.labels,
        false => &event.labels,
    };
    let draft = Draft::new(headline)
        .project(&event.project)
        .context(is_confidential.then(|| "🔒 confidential".to_owned()))
        .context(severity)
        .context(named("labels: ", labels.iter().map(|label| &**label.title)))
        .context(named(
            "assigned to ",
            event
                .assignees
                .iter()
                .map(|user| user.name.or(&user.username)),
        ))
        .context(due(&issue.due_date));
    match verb {
        "opened" => draft.quote(&issue.description).color(ORANGE),
        _ => draft,
    }
}

/// How people refer to it.
pub(in super::super) fn label(sign: &str, iid: &Field<i64>, title: &str) -> String {
    match iid.get() {
        None => title.to_owned(),
        Some(iid) => format!("{sign}{iid} {title}"),
    }
}

fn severity(severity: &str) -> Option<String> {
    let severity = line(severity, NAME);
    (!severity.is_empty() && severity != "unknown").then(|| format!("severity {severity}"))
}

pub(super) fn due(date: &str) -> Option<String> {
    let date = line(date, NAME);
    (!date.is_empty()).then(|| format!("due {date}"))
}
