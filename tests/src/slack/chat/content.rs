//! Limits on the contents of messages.

use serde_json::{Map, Value};

use super::super::answer::Refusal;
use super::super::block::{Surface, check_blocks};
use super::super::request::Request;

/// The longest text in characters. Slack truncates some texts and rejects others; here all longer ones are rejected.
const TEXT: usize = 40_000;
const MARKDOWN_TEXT: usize = 12_000;
const ATTACHMENTS: usize = 100;
/// All blocks together, as JSON. Slack documents no limit; apps report rejections from 13,200 characters on, "12,000 of text with
/// a buffer for containers" according to Slack, and for less text with many containers.
const BLOCKS: usize = 13_200;
/// Metadata as JSON.
const METADATA: usize = 16_000;

/// The parts of an attachment that are visible.
const SHOWN: [&str; 8] = [
    "blocks",
    "fallback",
    "fields",
    "image_url",
    "pretext",
    "text",
    "thumb_url",
    "title",
];

/// A valid message's content.
pub(super) struct Content {
    pub(super) text: String,
}

impl Content {
    pub(super) fn of(request: &Request) -> Result<Self, Refusal> {
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
        if !markdown.is_empty() && (!text.is_empty() || blocks.is_some()) {
            return Err(Refusal::new("markdown_text_conflict"));
        }
        if let Some(blocks) = &blocks {
            if !blocks.is_array() {
                return Err(Refusal::new("invalid_blocks_format"));
            }
            refuse_wrong(blocks)?;
            if length(blocks) > BLOCKS {
                return Err(Refusal::new("msg_blocks_too_long"));
            }
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
        check_metadata(request)?;
        Ok(Self { text })
    }
}

fn check_attachments(attachments: &Value) -> Result<(), Refusal> {
    let invalid = || Refusal::new("invalid_attachments");
    let list = attachments.as_array().ok_or_else(invalid)?;
    if list.len() > ATTACHMENTS {
        return Err(Refusal::new("too_many_attachments"));
    }
    for attachment in list {
        let fields = attachment.as_object().ok_or_else(invalid)?;
        if fields.get("color").is_some_and(|color| !is_color(color)) {
            return Err(invalid());
        }
        let Some(blocks) = fields.get("blocks") else {
            if !SHOWN.iter().any(|name| shows(fields, name)) {
                return Err(Refusal::new("no_text"));
            }
            continue;
        };
        if !blocks.is_array() {
            return Err(Refusal::new("invalid_blocks_format"));
        }
        refuse_wrong(blocks)?;
        // Next to blocks Slack ignores the older fields; sending both is probably a mistake.
        let mut names = fields.keys();
        if !names.all(|name| matches!(name.as_str(), "blocks" | "color" | "fallback")) {
            return Err(invalid());
        }
    }
    if length(attachments) > BLOCKS {
        return Err(Refusal::new("attachment_payload_limit_exceeded"));
    }
    Ok(())
}

fn shows(attachment: &Map<String, Value>, name: &str) -> bool {
    match attachment.get(name) {
        None | Some(Value::Null) => false,
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(list)) => !list.is_empty(),
        Some(_) => true,
    }
}

/// One of three names, or six hexadecimal digits.
fn is_color(color: &Value) -> bool {
    match color.as_str() {
        Some("good" | "warning" | "danger") => true,
        Some(text) => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            digits.len() == 6 && digits.chars().all(|digit| digit.is_ascii_hexdigit())
        }
        None => false,
    }
}

fn check_metadata(request: &Request) -> Result<(), Refusal> {
    let invalid = || Refusal::new("invalid_metadata_format");
    let Some(metadata) = request.json("metadata").map_err(|_| invalid())? else {
        return Ok(());
    };
    let is_named = metadata
        .get("event_type")
        .and_then(Value::as_str)
        .is_some_and(|name| !name.is_empty());
    if !is_named || !metadata.get("event_payload").is_some_and(Value::is_object) {
        return Err(invalid());
    }
    if length(&metadata) > METADATA {
        return Err(Refusal::new("metadata_too_large"));
    }
    Ok(())
}

fn length(json: &Value) -> usize {
    json.to_string().chars().count()
}

fn refuse_wrong(blocks: &Value) -> Result<(), Refusal> {
    let messages = check_blocks(blocks, Surface::Message);
    if messages.is_empty() {
        Ok(())
    } else {
        Err(Refusal::with_messages("invalid_blocks", messages))
    }
}
