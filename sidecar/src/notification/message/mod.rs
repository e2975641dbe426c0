//! stub until merged
use serde_json::{Value, json};
pub(crate) struct Message {
    pub(crate) text: String,
}
impl Message {
    pub(crate) fn arguments(&self, channel: &str) -> Value {
        json!({"channel": channel, "text": self.text})
    }
}
pub(crate) fn render(event: &Value) -> Message {
    Message {
        text: event["object_kind"].to_string(),
    }
}
