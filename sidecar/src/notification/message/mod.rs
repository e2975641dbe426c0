//! An event of GitLab's webhooks as a message of Slack.
//!
//! Any field of an [`Event`] may be missing, or be of another type: what is there is told, and nothing fails. What
//! people wrote is made harmless and put together with links ([`markup`]) and times ([`mod@moment`]) to phrases, of which a message is
//! drafted ([`draft`]). There is a file for each kind of event ([`kind`]).

mod draft;
mod kind;
mod markup;
mod moment;
#[cfg(test)]
mod tests;

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
    kind::draft(&Event::of(event)).finish()
}
