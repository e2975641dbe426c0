//! An event of GitLab's webhooks as a message of Slack.
//!
//! Any field of an [`Event`] may be missing, or be of another type: what is there is told, and nothing fails. What
//! people wrote is made harmless ([`user_text`], [`markdown`]) and put together with links ([`link`]) and times ([`mod@moment`]) to
//! phrases ([`phrase`]), of which a message is drafted ([`draft`]). There is a file for each kind of event.

mod alert;
mod deployment;
mod draft;
mod issue;
mod link;
mod list;
mod markdown;
mod mention;
mod merge_request;
mod moment;
mod note;
mod noteable;
mod phrase;
mod pipeline;
mod push;
mod test;
#[cfg(test)]
mod tests;
mod unknown;
mod user_text;
mod vulnerability;
mod wiki_page;

pub(crate) use draft::Message;

use lockstep_webhook::{Event, ObjectKind};
use serde_json::Value;

/// When an event happened that changes what was said before, in seconds since 1970, as far as it tells.
pub(crate) fn moment(event: &Value) -> Option<i64> {
    let event = Event::of(event);
    let object = &event.object_attributes;
    moment::seconds(match event.kind()? {
        ObjectKind::Pipeline => &object.finished_at,
        ObjectKind::MergeRequest => &object.updated_at,
        _ => return None,
    })
}

/// The message that tells of an event.
pub(crate) fn render(event: &Value) -> Message {
    let event = &Event::of(event);
    let draft = match event.kind() {
        Some(ObjectKind::Push | ObjectKind::TagPush) => push::draft(event),
        Some(ObjectKind::Issue | ObjectKind::WorkItem | ObjectKind::Incident) => {
            issue::draft(event)
        }
        Some(ObjectKind::MergeRequest) => merge_request::draft(event),
        Some(ObjectKind::Note) => note::draft(event),
        Some(ObjectKind::Pipeline) => pipeline::draft(event),
        Some(ObjectKind::WikiPage) => wiki_page::draft(event),
        Some(ObjectKind::Deployment) => deployment::draft(event),
        Some(ObjectKind::Alert) => alert::draft(event),
        Some(ObjectKind::Vulnerability) => vulnerability::draft(event),
        Some(ObjectKind::GroupMention) => mention::draft(event),
        Some(ObjectKind::LockstepTest) => test::draft(event),
        None => unknown::draft(event),
    };
    draft.finish()
}
