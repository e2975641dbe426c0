//! The methods `chat.*`: where messages may be posted, and what happens to them.

mod content;
mod place;

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::message::Message;
use super::request::Request;
use super::world::{Channel, Installation, World};

use content::Content;

impl World {
    pub(crate) fn post_message(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let channel = self.channel_to_post(installation, request)?;
        if channel.is_archived {
            return Err(Refusal::new("is_archived"));
        }
        let may_post = channel.members.contains(&installation.bot_user_id)
            || (!channel.is_private && installation.scopes.contains("chat:write.public"));
        if !may_post {
            return Err(Refusal::new("not_in_channel"));
        }
        if channel.is_read_only {
            return Err(Refusal::new("restricted_action_read_only_channel"));
        }
        let message = self.message(&channel, request)?;
        let now = self.now();
        self.limits
            .take_channel(&channel.id, now)
            .map_err(Refusal::rate_limited)?;
        let body = json!({
            "channel": channel.id,
            "ts": message.ts,
            "message": self.shown(installation, &channel, &message),
        });
        self.messages.add(message);
        Ok(body)
    }

    pub(crate) fn post_ephemeral(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let user = request.required("user")?;
        let channel = self.channel(installation, &request.required("channel")?)?;
        if channel.is_archived {
            return Err(Refusal::new("is_archived"));
        }
        if !channel.members.contains(&user) {
            return Err(Refusal::new("user_not_in_channel"));
        }
        let message = Message {
            only_for: Some(user),
            ..self.message(&channel, request)?
        };
        let body = json!({ "message_ts": message.ts });
        self.messages.add(message);
        Ok(body)
    }

    pub(crate) fn update_message(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let wanted = request.required("channel")?;
        let ts = request.required("ts")?;
        // A new message accepts a name or a user; for an existing one only the channel id works.
        if !self.channels.contains_key(&wanted) {
            return Err(Refusal::new("channel_not_found"));
        }
        let channel = self.channel(installation, &wanted)?;
        let now = self.now();
        let is_closed = |posted: SystemTime| {
            self.edit_window
                .is_some_and(|window| posted + window <= now)
        };
        match self.messages.find(&channel.id, &ts) {
            None => return Err(Refusal::new("message_not_found")),
            // Slack does not store ephemeral messages, so its user may have lost it.
            Some(message) if message.only_for.is_some() => {
                return Err(Refusal::new("message_not_found"));
            }
            Some(message) if message.by.is_some() => {
                return Err(Refusal::new("cant_update_message"));
            }
            Some(_) if channel.is_archived => return Err(Refusal::new("is_inactive")),
            Some(message) if is_closed(message.at) => {
                return Err(Refusal::new("edit_window_closed"));
            }
            Some(_) => {}
        }
        let content = Content::of(request)?;
        let mut sent = self.kept(request);
        let Some(message) = self.messages.find_mut(&channel.id, &ts) else {
            return Err(Refusal::new("message_not_found"));
        };
        // Parts that are left out stay unchanged: only an empty list removes them.
        for part in ["blocks", "attachments"] {
            if let Value::Object(sent) = &mut sent
                && !sent.contains_key(part)
                && let Some(before) = message.sent.get(part)
            {
                sent.insert(part.to_owned(), before.clone());
            }
        }
        if request.arguments.contains_key("text") {
            content.text.clone_into(&mut message.text);
        }
        message.sent = sent;
        message.updates += 1;
        let message = message.clone();
        Ok(json!({
            "channel": channel.id,
            "ts": ts,
            "text": message.text,
            "message": self.shown(installation, &channel, &message),
        }))
    }

    /// The message of a call, if it is valid.
    fn message(&mut self, channel: &Channel, request: &Request) -> Result<Message, Refusal> {
        let content = Content::of(request)?;
        let thread_ts = request.text("thread_ts");
        if let Some(thread) = &thread_ts {
            match self.messages.find(&channel.id, thread) {
                None => return Err(Refusal::new("thread_not_found")),
                // Threads have one level, and cannot start from an ephemeral message.
                Some(parent) if parent.thread_ts.is_some() || parent.only_for.is_some() => {
                    return Err(Refusal::new("cannot_reply_to_message"));
                }
                Some(_) => {}
            }
        }
        Ok(Message {
            channel: channel.id.clone(),
            ts: self.ts(),
            only_for: None,
            by: None,
            text: content.text,
            thread_ts,
            sent: self.kept(request),
            at: self.now(),
            is_answered: true,
            updates: 0,
        })
    }

    /// Records that the app will not learn of a message it has posted.
    pub(crate) fn note_untold(&mut self, method: &str, answer: &Value) {
        let (Some(channel), Some(ts)) = (answer["channel"].as_str(), answer["ts"].as_str()) else {
            return;
        };
        if method == "chat.postMessage"
            && let Some(message) = self.messages.find_mut(channel, ts)
        {
            message.is_answered = false;
        }
    }

    /// The arguments of a call that are recorded.
    pub(crate) fn kept(&self, request: &Request) -> Value {
        match self.only_counts {
            true => Value::Null,
            false => Value::Object(request.arguments.clone()),
        }
    }

    /// A message as responses show it.
    fn shown(&self, installation: &Installation, channel: &Channel, message: &Message) -> Value {
        let mut shown = Map::from_iter([
            ("type".to_owned(), json!("message")),
            ("subtype".to_owned(), json!("bot_message")),
            ("text".to_owned(), json!(message.text)),
            ("ts".to_owned(), json!(message.ts)),
            ("user".to_owned(), json!(installation.bot_user_id)),
            ("bot_id".to_owned(), json!(installation.bot_id)),
            ("app_id".to_owned(), json!(self.app.id)),
            ("team".to_owned(), json!(channel.team_id)),
        ]);
        if let Some(thread) = &message.thread_ts {
            shown.insert("thread_ts".to_owned(), json!(thread));
        }
        Value::Object(shown)
    }
}
