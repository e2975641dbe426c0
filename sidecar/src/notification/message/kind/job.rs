//! Jobs of pipelines.

use lockstep_webhook::{Event, short};

use crate::notification::message::draft::{DANGER, Draft, GOOD, SLATE, WARNING};
use crate::notification::message::markup::link::{link, path};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, code, line};

pub(super) fn draft(event: &Event) -> Draft {
    let (sign, words, color) = match (&**event.build_status, *event.build_allow_failure) {
        ("failed", false) => ("❌", " has failed", DANGER),
        ("failed", true) => ("⚠️", " has failed, as allowed", WARNING),
        ("success", _) => ("✅", " has passed", GOOD),
        ("canceled", _) => ("⚠️", " was canceled", WARNING),
        _ => ("ℹ️", " has changed", SLATE),
    };
    let page = match event.build_id.get() {
        Some(id) => event.project.page(&format!("jobs/{id}")),
        None => String::new(),
    };
    let headline = Phrase::default()
        .marked(&format!("{sign} "))
        .words("Job ")
        .link(&page, &event.build_name, NAME, "without a name")
        .words(words)
        .within(&event.project);
    let by = line(event.user.name.or(&event.user.username), NAME);
    // GitLab's names of reasons, such as script_failure.
    let reason = event.build_failure_reason.replace('_', " ");
    Draft::new(headline)
        .field("Branch", &branch(event))
        .field("Commit", &commit(event))
        .field("Stage", &line(&event.build_stage, NAME))
        .field("Reason", &line(&reason, NAME))
        .project(&event.project)
        .context(pipeline(event))
        .context((!by.is_empty()).then(|| format!("by {by}")))
        .color(color)
}

fn branch(event: &Event) -> String {
    match event.tag.is_it {
        true => code(&event.reference, NAME),
        false => {
            let page = event
                .project
                .page(&format!("tree/{}", path(&event.reference)));
            link(&page, &line(&event.reference, NAME))
        }
    }
}

fn commit(event: &Event) -> String {
    let id = line(short(&event.sha), NAME);
    let title = line(event.commit.title(), TITLE);
    format!("{id} {title}").trim().to_owned()
}

fn pipeline(event: &Event) -> Option<String> {
    let id = event.pipeline_id.get()?;
    let page = event.project.page(&format!("pipelines/{id}"));
    Some(link(&page, &format!("pipeline {id}")))
}
