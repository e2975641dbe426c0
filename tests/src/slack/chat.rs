//! `chat.postMessage` and `chat.postEphemeral`.

use serde_json::{Value, json};

use super::answer::Refusal;
use super::block::{Surface, check_blocks};
use super::request::Request;
use super::world::{Channel, Installation, Message, World};

/// The longest text in characters. Slack cuts some off and refuses others; here none may be longer.
const TEXT: usize = 40_000;
const MARKDOWN_TEXT: usize = 12_000;
const ATTACHMENTS: usize = 100;

impl World {
    pub(crate) fn post_message(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let channel = self.channel(installation, request)?;
        if channel.is_archived {
            return Err(Refusal::new("is_archived"));
        }
        let may_post = channel.members.contains(&installation.bot_user_id)
            || (!channel.is_private && installation.scopes.contains("chat:write.public"));
        if !may_post {
            return Err(Refusal::new("not_in_channel"));
        }
        let message = self.message(&channel, request)?;
        let now = self.now();
        self.limits
            .take_channel(&channel.id, now)
            .map_err(Refusal::rate_limited)?;
        let body = json!({
            "channel": channel.id,
            "ts": message.ts,
            "message": {
                "type": "message",
                "subtype": "bot_message",
                "text": message.text,
                "ts": message.ts,
                "user": installation.bot_user_id,
                "bot_id": installation.bot_id,
                "app_id": self.app.id,
                "team": channel.team_id,
            },
        });
        self.messages.push(message);
        Ok(body)
    }

    pub(crate) fn post_ephemeral(
        &mut self,
        installation: &Installation,
        request: &Request,
    ) -> Result<Value, Refusal> {
        let user = request.required("user")?;
        let channel = self.channel(installation, request)?;
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
        self.messages.push(message);
        Ok(body)
    }

    /// The channel of a call, if the app may know of it.
    fn channel(&self, installation: &Installation, request: &Request) -> Result<Channel, Refusal> {
        let wanted = request.required("channel")?;
        let not_found = || Refusal::new("channel_not_found");
        let channel = match self.channels.get(&wanted) {
            Some(channel) => Some(channel),
            // A name says nothing about the workspace that is meant.
            None if installation.is_org_wide && !looks_like_id(&wanted) => {
                return Err(Refusal::new("team_not_found"));
            }
            None => self.channels.values().find(|channel| {
                channel.team_id == installation.tenant
                    && channel.name == wanted.trim_start_matches('#')
            }),
        };
        let channel = channel
            .filter(|channel| self.covers(&installation.tenant, &channel.team_id))
            .ok_or_else(not_found)?;
        if channel.is_private && !channel.members.contains(&installation.bot_user_id) {
            return Err(not_found());
        }
        Ok(channel.clone())
    }

    /// The message of a call, if it keeps to the rules.
    fn message(&mut self, channel: &Channel, request: &Request) -> Result<Message, Refusal> {
        let text = request.text("text").unwrap_or_default();
        let markdown = request.text("markdown_text").unwrap_or_default();
        let blocks = request
            .json("blocks")
            .map_err(|_| Refusal::new("invalid_blocks_format"))?;
        let attachments = request
            .json("attachments")
            .map_err(|_| Refusal::new("invalid_attachments"))?;
        if text.chars().count() > TEXT || markdown.chars().count() > MARKDOWN_TEXT {
            return Err(Refusal::new("msg_too_long"));
        }
        if let Some(blocks) = &blocks {
            if !blocks.is_array() {
                return Err(Refusal::new("invalid_blocks_format"));
            }
            refuse_wrong(check_blocks(blocks, Surface::Message))?;
        }
        if let Some(attachments) = &attachments {
            check_attachments(attachments)?;
        }
        let is_empty = |list: &Option<Value>| {
            list.as_ref()
                .and_then(Value::as_array)
                .is_none_or(Vec::is_empty)
        };
        if text.is_empty() && markdown.is_empty() && is_empty(&blocks) && is_empty(&attachments) {
            return Err(Refusal::new("no_text"));
        }
        let thread_ts = request.text("thread_ts");
        if let Some(thread) = &thread_ts {
            let mut messages = self.messages.iter();
            if !messages.any(|message| message.channel == channel.id && message.ts == *thread) {
                return Err(Refusal::new("thread_not_found"));
            }
        }
        Ok(Message {
            channel: channel.id.clone(),
            ts: self.ts(),
            only_for: None,
            text,
            thread_ts,
            sent: Value::Object(request.arguments.clone()),
        })
    }
}

fn looks_like_id(text: &str) -> bool {
    text.starts_with(['C', 'D', 'G'])
        && text
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
}

fn check_attachments(attachments: &Value) -> Result<(), Refusal> {
    let list = attachments
        .as_array()
        .ok_or_else(|| Refusal::new("invalid_attachments"))?;
    if list.len() > ATTACHMENTS {
        return Err(Refusal::new("too_many_attachments"));
    }
    for attachment in list {
        if !attachment.is_object() {
            return Err(Refusal::new("invalid_attachments"));
        }
        if let Some(blocks) = attachment.get("blocks") {
            refuse_wrong(check_blocks(blocks, Surface::Message))?;
        }
    }
    Ok(())
}

fn refuse_wrong(messages: Vec<String>) -> Result<(), Refusal> {
    if messages.is_empty() {
        Ok(())
    } else {
        Err(Refusal::with_messages("invalid_blocks", messages))
    }
}
