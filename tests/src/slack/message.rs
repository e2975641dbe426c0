//! The messages that Slack took, channel by channel.

use std::collections::HashMap;
use std::time::SystemTime;

use serde_json::Value;

/// A message as it is in a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub channel: String,
    /// Identifies it in its channel.
    pub ts: String,
    /// The user who alone sees it.
    pub only_for: Option<String>,
    /// The user who wrote it; none if that is the app.
    pub by: Option<String>,
    pub text: String,
    pub thread_ts: Option<String>,
    /// All that the app sent, as the method got it; blocks and attachments that a change left out are those of before.
    pub sent: Value,
    /// When it was taken, by Slack's clock.
    pub at: SystemTime,
    /// False if it was taken without the app being told: the connection was closed, or the answer was garbage.
    pub is_answered: bool,
    /// How often `chat.update` put another in its place.
    pub updates: u32,
}

/// All messages: found by channel and ts at the same cost however many there are.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    channels: HashMap<String, Conversation>,
    /// How many the app posted, those that were deleted since too.
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
