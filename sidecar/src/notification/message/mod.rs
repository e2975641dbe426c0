//! Converts an event from GitLab's webhooks into a Slack message.
//!
//! Any field of an [`Event`] may be missing or have another type: what is there is shown, and nothing fails. User text is made
//! harmless and combined with links ([`markup`]) and times ([`mod@moment`]) into phrases, which form a draft ([`draft`]). Each
//! kind of event has a file ([`kind`]).

mod draft;
mod kind;
mod markup;
mod moment;
#[cfg(test)]
mod tests;

pub(crate) use draft::Message;

use lockstep_webhook::{Event, ObjectKind};
use serde_json::Value;

/// For an event that updates an earlier message: when it happened, in seconds since 1970, if known.
pub(crate) fn moment(event: &Value) -> Option<i64> {
    let event = Event::of(event);
    let object = &event.object_attributes;
    moment::seconds(match event.kind()? {
        ObjectKind::Pipeline => &object.finished_at,
        ObjectKind::MergeRequest => &object.updated_at,
        _ => return None,
    })
}

/// The message for an event.
pub(crate) fn render(event: &Value) -> Message {
    kind::draft(&Event::of(event)).finish()
}
