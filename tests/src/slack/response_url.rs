//! Response URLs, for late answers to a command or an interaction.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::answer::Answer;
use super::block::{Surface, check_blocks};
use super::message::Message;
use super::world::World;

/// How long and how often one may be used.
const LIFE: Duration = Duration::from_secs(1800);
const USES: u32 = 5;

/// One such address.
#[derive(Clone, Debug)]
pub(crate) struct ResponseUrl {
    pub(crate) tenant: String,
    channel: String,
    user: String,
    expires_at: SystemTime,
    uses: u32,
}

impl World {
    /// A new response URL for a channel, or for a user there.
    pub(crate) fn response_url(&mut self, tenant: &str, channel: &str, user: &str) -> String {
        let key = format!("{tenant}/{:08}", self.number());
        let url = format!("{}/response/{key}", self.base_url);
        self.response_urls.insert(
            key,
            ResponseUrl {
                tenant: tenant.to_owned(),
                channel: channel.to_owned(),
                user: user.to_owned(),
                expires_at: self.now() + LIFE,
                uses: 0,
            },
        );
        url
    }

    /// Processes an answer. One that is refused because of its content counts as a use, too.
    pub(crate) fn respond(&mut self, key: &str, body: &[u8]) -> Answer {
        let now = self.now();
        let refuse =
            |status, error: &str| Answer::json(status, json!({"ok": false, "error": error}));
        let Some(url) = self.response_urls.get_mut(key) else {
            return refuse(404, "invalid_url");
        };
        if url.expires_at <= now {
            return refuse(404, "expired_url");
        }
        if url.uses == USES {
            return refuse(404, "used_url");
        }
        url.uses += 1;
        let url = url.clone();
        let Ok(sent @ Value::Object(_)) = serde_json::from_slice::<Value>(body) else {
            return refuse(400, "invalid_payload");
        };
        if let Some(blocks) = sent.get("blocks")
            && !check_blocks(blocks, Surface::Message).is_empty()
        {
            return refuse(400, "invalid_blocks");
        }
        let deletes = is_set(&sent, "delete_original");
        let text = sent.get("text").and_then(Value::as_str).unwrap_or_default();
        if text.is_empty()
            && !deletes
            && sent.get("blocks").is_none()
            && sent.get("attachments").is_none()
        {
            return refuse(400, "no_text");
        }
        let is_public = sent.get("response_type").and_then(Value::as_str) == Some("in_channel");
        let message = Message {
            channel: url.channel,
            ts: self.ts(),
            only_for: (!is_public).then_some(url.user),
            by: None,
            text: text.to_owned(),
            thread_ts: None,
            sent,
            at: now,
            is_answered: true,
            updates: 0,
        };
        self.messages.add(message);
        Answer::text(200, "ok")
    }
}

/// Apps send these as booleans or as texts.
fn is_set(sent: &Value, name: &str) -> bool {
    match sent.get(name) {
        Some(Value::Bool(value)) => *value,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}
