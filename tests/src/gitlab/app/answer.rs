//! The stand-in's responses, and what it does in Slack before responding.

use serde_json::{Value, json};

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// Null means an empty body.
    pub(super) body: Value,
    /// What is sent to Slack first: address and content.
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

    /// Only visible to the user who gave the command.
    pub(super) fn ephemeral(text: &str) -> Self {
        Self::message("ephemeral", json!({ "text": text }))
    }

    /// Visible to the whole channel.
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
