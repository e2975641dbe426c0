//! Issues, confidential ones, incidents, and other work items.

use lockstep_webhook::{Event, Field};

use crate::notification::message::draft::{Draft, ORANGE};
use crate::notification::message::markup::list::listed;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, line};

pub(super) fn draft(event: &Event) -> Draft {
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
    let headline = Phrase::of(&event.user)
        .words(&format!(" {verb} {noun} "))
        .link(
            &issue.url,
            &label("#", &issue.iid, &issue.title),
            TITLE,
            "without a title",
        )
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
pub(super) fn label(sign: &str, iid: &Field<i64>, title: &str) -> String {
    match iid.get() {
        None => title.to_owned(),
        Some(iid) => format!("{sign}{iid} {title}"),
    }
}

/// Names after our own words, if there are any.
pub(super) fn named<'a>(words: &str, names: impl Iterator<Item = &'a str>) -> Option<String> {
    let names: Vec<String> = names
        .map(|name| line(name, NAME))
        .filter(|name| !name.is_empty())
        .collect();
    let number = names.len();
    (number > 0).then(|| {
        format!(
            "{words}{}",
            listed(names.into_iter().take(5), ", ", number, 600)
        )
    })
}

fn severity(severity: &str) -> Option<String> {
    let severity = line(severity, NAME);
    (!severity.is_empty() && severity != "unknown").then(|| format!("severity {severity}"))
}

fn due(date: &str) -> Option<String> {
    let date = line(date, NAME);
    (!date.is_empty()).then(|| format!("due {date}"))
}
