//! What the stand-in answers, and what it does in Slack before that.

use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Nothing, if it is null.
    pub(super) body: Value,
    /// What is sent to Slack first: an address, and what.
    pub(super) first: Option<(String, Value)>,
}

impl Answer {
    pub(super) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            body,
            first: None,
        }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self::json(status, Value::Null)
    }

    /// For whoever gave a command alone.
    pub(super) fn ephemeral(text: &str) -> Self {
        Self::message("ephemeral", json!({ "text": text }))
    }

    /// For all of the channel.
    pub(super) fn in_channel(fields: Value) -> Self {
        Self::message("in_channel", fields)
    }

    fn message(kind: &str, mut fields: Value) -> Self {
        fields["response_type"] = json!(kind);
        fields["status"] = json!(200);
        Self::json(200, fields)
    }

    pub(super) fn after(self, url: String, message: Value) -> Self {
        Self {
            first: Some((url, message)),
            ..self
        }
    }
}
