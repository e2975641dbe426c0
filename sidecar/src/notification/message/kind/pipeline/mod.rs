//! Pipelines. Their messages always have a color: see [`Message::arguments`](crate::notification::message::Message::arguments).

mod jobs;

use lockstep_webhook::{Attributes, Event, short};

use super::super::moment;
use super::item::issue::label;
use crate::notification::message::draft::{DANGER, Draft, GOOD, SLATE, WARNING};
use crate::notification::message::markup::link::{link, path};
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, TITLE, code, line};
use jobs::failed;

pub(super) fn draft(event: &Event) -> Draft {
    let pipeline = &event.object_attributes;
    let failed = failed(&event.builds, &pipeline.stages);
    let has_warnings = pipeline.detailed_status.contains("warning") || failed.has_forgiven();
    let (sign, words, color) = match (&**pipeline.status, has_warnings) {
        ("success", false) => ("✅", " has passed", GOOD),
        ("success", true) => ("⚠️", " has passed with warnings", WARNING),
        ("failed", _) => ("❌", " has failed", DANGER),
        ("canceled" | "canceling", _) => ("⚠️", " was canceled", WARNING),
        ("skipped", _) => ("⚠️", " was skipped", WARNING),
        ("manual", _) => ("⏳", " waits for somebody", SLATE),
        ("running", _) => ("⏳", " is running", SLATE),
        _ => ("⏳", " is about to run", SLATE),
    };
    let page = match pipeline.url.or("") {
        "" => event
            .project
            .page(&format!("pipelines/{}", pipeline.id.written())),
        url => url.to_owned(),
    };
    let page = match failed.is_empty() || *pipeline.status != "failed" {
        true => page,
        false if page.is_empty() => page,
        false => format!("{page}/failures"),
    };
    let headline = Phrase::default()
        .marked(&format!("{sign} "))
        .words("Pipeline ")
        .link(
            &page,
            &label("#", &pipeline.id, ""),
            NAME,
            "without a number",
        )
        .words(words)
        .words(&duration(pipeline.duration.get().copied()))
        .plainly(&on(pipeline))
        .within(&event.project);
    let request = &event.merge_request;
    let request = link(
        &request.url,
        &line(&label("!", &request.iid, &request.title), TITLE),
    );
    let draft = Draft::new(headline)
        .field(kind(pipeline), &reference(event))
        .field("Commit", &commit(event))
        .field("Merge request", &request)
        .field("Pipeline", &line(&pipeline.name, TITLE));
    let draft = match &**pipeline.status {
        "failed" => draft
            .field(failed.stages_name(), &failed.stages())
            .field(failed.jobs_name(), &failed.jobs(&event.project))
            .field("Invalid configuration", &line(&pipeline.yaml_errors, TITLE)),
        "success" => draft.field("Failed, as allowed", &failed.forgiven(&event.project)),
        _ => draft,
    };
    let by = line(event.user.name.or(&event.user.username), NAME);
    draft
        .project(&event.project)
        .context((!by.is_empty()).then(|| format!("by {by}")))
        .context(moment::shown(&pipeline.finished_at))
        .color(color)
}

/// What it ran on. `refs/merge-requests/1/head` is neither a branch nor a tag.
fn kind(pipeline: &Attributes) -> &'static str {
    match *pipeline.tag {
        true => "Tag",
        false if pipeline.reference.starts_with("refs/") => "Ref",
        false => "Branch",
    }
}

/// The same in words, where there are no fields.
fn on(pipeline: &Attributes) -> String {
    match line(&pipeline.reference, NAME) {
        empty if empty.is_empty() => empty,
        name => format!(" on {} {name}", kind(pipeline).to_lowercase()),
    }
}

fn reference(event: &Event) -> String {
    let pipeline = &event.object_attributes;
    let name = &pipeline.reference;
    if kind(pipeline) == "Ref" {
        return code(name, NAME);
    }
    let page = match *pipeline.tag {
        true => event.project.page(&format!("tags/{}", path(name))),
        false => event.project.page(&format!("tree/{}", path(name))),
    };
    link(&page, &line(name, NAME))
}

fn commit(event: &Event) -> String {
    let commit = &event.commit;
    let id = line(short(commit.id.or(&event.object_attributes.sha)), NAME);
    let title = line(commit.title(), TITLE);
    format!("{} {title}", link(&commit.url, &id))
        .trim()
        .to_owned()
}

/// ` after MM:SS`, if known.
fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.filter(|seconds| (0.0..1e9).contains(seconds)) else {
        return String::new();
    };
    let seconds = seconds.round() as u64;
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    match minutes / 60 {
        0 => format!(" after {minutes:02}:{seconds:02}"),
        hours => format!(" after {hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_are_minutes_and_seconds() {
        let cases = [
            (0.0, " after 00:00"),
            (63.0, " after 01:03"),
            (3_599.4, " after 59:59"),
            (3_599.5, " after 1:00:00"),
            (90_061.0, " after 25:01:01"),
            (-1.0, ""),
            (1e12, ""),
        ];
        for (seconds, expected) in cases {
            assert_eq!(duration(Some(seconds)), expected, "{seconds}");
        }
        assert_eq!(duration(None), "");
    }
}
