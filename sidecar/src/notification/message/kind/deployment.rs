//! Deployments.

use lockstep_webhook::Event;

use super::super::moment;
use crate::notification::message::draft::{DANGER, Draft, GOOD, SLATE, WARNING};
use crate::notification::message::markup::link::link;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, code, line};

pub(super) fn draft(deployment: &Event) -> Draft {
    let (sign, words, color) = match &**deployment.status {
        "running" => ("⏳", " has begun", SLATE),
        "success" => ("✅", " is done", GOOD),
        "failed" => ("❌", " has failed", DANGER),
        "canceled" => ("⚠️", " was canceled", WARNING),
        "blocked" => ("⏳", " waits for an approval", WARNING),
        "created" => ("⏳", " is about to begin", SLATE),
        "skipped" => ("⚠️", " was skipped", WARNING),
        _ => ("ℹ️", " has changed", SLATE),
    };
    let headline = Phrase::default()
        .marked(&format!("{sign} "))
        .words("Deployment to ")
        .code(&deployment.environment, "an environment")
        .words(words)
        .within(&deployment.project);
    Draft::new(headline)
        .body(commit(deployment))
        .project(&deployment.project)
        .context(job(deployment))
        .context(branch(&deployment.reference))
        .context(by(deployment))
        .context(changes(deployment))
        .context(moment::shown(&deployment.status_changed_at))
        .color(color)
}

fn commit(deployment: &Event) -> String {
    let id = link(&deployment.commit_url, &line(&deployment.short_sha, NAME));
    let title = line(&deployment.commit_title, TITLE);
    format!("{id} {title}").trim().to_owned()
}

fn job(deployment: &Event) -> Option<String> {
    let id = deployment.deployable_id.written();
    let label = format!("job {id}");
    let linked = link(&deployment.deployable_url, label.trim_end());
    (!id.is_empty() || linked.starts_with('<')).then_some(linked)
}

fn branch(reference: &str) -> Option<String> {
    Some(code(reference, NAME)).filter(|code| !code.is_empty())
}

/// What has changed since the last deployment there that succeeded.
fn changes(deployment: &Event) -> Option<String> {
    let (before, after) = (&**deployment.previous_sha, &**deployment.short_sha);
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|digit| digit.is_ascii_hexdigit());
    if !is_id(before) || !is_id(after) || before.starts_with(after) {
        return None;
    }
    let page = deployment
        .project
        .page(&format!("compare/{before}...{after}"));
    (!page.is_empty()).then(|| link(&page, "Changes since the last deployment"))
}

fn by(deployment: &Event) -> Option<String> {
    let user = &deployment.user;
    let name = line(user.name.or(&user.username), NAME);
    (!name.is_empty()).then(|| format!("by {}", link(&deployment.user_url, &name)))
}
