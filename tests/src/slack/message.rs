//! The messages that Slack accepted, by channel.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::Value;

/// A message as it is in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub channel: String,
    /// Identifies it in its channel.
    pub ts: String,
    /// The only user who sees it.
    pub only_for: Option<String>,
    /// The user who wrote it; None for the app.
    pub by: Option<String>,
    pub text: String,
    pub thread_ts: Option<String>,
    /// Everything the app sent, as the method received it; an update keeps blocks and attachments that it leaves out.
    pub sent: Value,
    /// When it was accepted, by Slack's clock.
    pub at: SystemTime,
    /// False if it was accepted without a proper response to the app: the connection was closed, or the response was garbage.
    pub is_answered: bool,
    /// How often `chat.update` replaced it.
    pub updates: u32,
}

impl Message {
    /// Whom Slack notifies: what the blocks mention, otherwise the text. Attachments only show names. `!channel` and its like are
    /// among them, under that name.
    pub fn mentions(&self) -> Vec<String> {
        let mut texts = Vec::new();
        match self.sent["blocks"].as_array().filter(|it| !it.is_empty()) {
            Some(blocks) => blocks.iter().for_each(|block| shown(block, &mut texts)),
            None => texts.push(self.text.as_str()),
        }
        let parts = texts.iter().flat_map(|text| text.split('<').skip(1));
        let parts = parts.filter_map(|part| part.split(['>', '|']).next());
        let mentions =
            parts.filter(|part| part.starts_with(['@', '!']) && !part.starts_with("!date"));
        mentions
            .map(|part| {
                part.trim_start_matches('@')
                    .trim_start_matches("!subteam^")
                    .to_owned()
            })
            .collect()
    }
}

/// The texts of a block that are markup.
fn shown<'a>(block: &'a Value, texts: &mut Vec<&'a str>) {
    match block {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|kind| kind == "mrkdwn") {
                texts.extend(fields.get("text").and_then(Value::as_str));
            }
            fields.values().for_each(|field| shown(field, texts));
        }
        Value::Array(items) => items.iter().for_each(|item| shown(item, texts)),
        _ => {}
    }
}

/// All messages, with a constant-time lookup by channel and ts.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    channels: HashMap<String, Conversation>,
    /// How many the app posted, including deleted ones.
    pub(crate) posted: usize,
}

#[derive(Debug, Default)]
struct Conversation {
    /// Oldest first.
    messages: Vec<Message>,
    places: HashMap<String, usize>,
}

impl Messages {
    pub(crate) fn add(&mut self, message: Message) {
        self.posted += usize::from(message.by.is_none());
        let channel = self.channels.entry(message.channel.clone()).or_default();
        let place = channel.messages.len();
        channel.places.insert(message.ts.clone(), place);
        channel.messages.push(message);
    }

    pub(crate) fn of(&self, channel: &str) -> &[Message] {
        let found = self.channels.get(channel);
        found.map_or(&[], |channel| &channel.messages)
    }

    pub(crate) fn find(&self, channel: &str, ts: &str) -> Option<&Message> {
        let channel = self.channels.get(channel)?;
        channel.messages.get(*channel.places.get(ts)?)
    }

    pub(crate) fn find_mut(&mut self, channel: &str, ts: &str) -> Option<&mut Message> {
        let channel = self.channels.get_mut(channel)?;
        channel.messages.get_mut(*channel.places.get(ts)?)
    }

    /// False if there is no such message.
    pub(crate) fn delete(&mut self, channel: &str, ts: &str) -> bool {
        let Some(channel) = self.channels.get_mut(channel) else {
            return false;
        };
        if channel.places.remove(ts).is_none() {
            return false;
        }
        channel.messages.retain(|message| message.ts != ts);
        let places = channel.messages.iter().enumerate();
        channel.places = places
            .map(|(place, message)| (message.ts.clone(), place))
            .collect();
        true
    }
}
