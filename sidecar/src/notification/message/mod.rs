//! An event of GitLab's webhooks as a message of Slack.
//!
//! Any field of a payload ([`payload`]) may be missing, or be of another type: what is there is told, and nothing fails. What
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
mod payload;
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

use serde_json::Value;

use draft::Draft;

type Drafting = fn(&Value) -> Draft;

/// What drafts the message, by the `object_kind` of a payload.
const KINDS: [(&str, Drafting); 14] = [
    ("push", push::draft),
    ("tag_push", push::draft),
    ("issue", issue::draft),
    ("work_item", issue::draft),
    ("incident", issue::draft),
    ("merge_request", merge_request::draft),
    ("note", note::draft),
    ("pipeline", pipeline::draft),
    ("wiki_page", wiki_page::draft),
    ("deployment", deployment::draft),
    ("alert", alert::draft),
    ("vulnerability", vulnerability::draft),
    ("group_mention", mention::draft),
    ("lockstep_test", test::draft),
];

/// When an event happened that changes what was said before, in seconds since 1970, as far as it tells.
pub(crate) fn moment(event: &Value) -> Option<i64> {
    let time = match event["object_kind"].as_str()? {
        "pipeline" => &event["object_attributes"]["finished_at"],
        "merge_request" => &event["object_attributes"]["updated_at"],
        _ => return None,
    };
    moment::seconds(time.as_str()?)
}

/// The message that tells of an event.
pub(crate) fn render(event: &Value) -> Message {
    let kind = event["object_kind"].as_str().unwrap_or_default();
    let known = KINDS.iter().find(|(name, _)| *name == kind);
    let draft = known.map_or(unknown::draft as Drafting, |(_, draft)| *draft);
    draft(event).finish()
}
