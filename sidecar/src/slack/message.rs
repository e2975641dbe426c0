//! Messages to people in Slack.

use std::borrow::Cow;

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use unicode_segmentation::UnicodeSegmentation;

use super::markup::fit_lines;
use crate::http::shown_id;

/// Slack truncates longer texts, or rejects them in a block.
pub(crate) const LONGEST_TEXT: usize = 3_000;

/// A reply, visible to the user who gave the command, or to the whole channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    text: String,
    is_public: bool,
    button: Option<Button>,
}

/// A button below a reply. Whoever clicks on it is asked to confirm that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Button {
    /// The name of what it does, here and in the interaction.
    pub(crate) action: &'static str,
    pub(crate) label: &'static str,
    /// What is confirmed, without markup.
    pub(crate) question: String,
    pub(crate) value: String,
}

impl Button {
    /// Slack's limits of a value and of a question.
    const LONGEST_VALUE: usize = 2_000;
    const LONGEST_QUESTION: usize = 300;

    fn block(&self) -> Value {
        let plain = |text: &str| json!({ "type": "plain_text", "text": text });
        let confirm = json!({
            "title": plain(self.label),
            "text": plain(&shorten(&self.question, Self::LONGEST_QUESTION)),
            "confirm": plain("Yes"),
            "deny": plain("No"),
            "style": "danger",
        });
        let button = json!({
            "type": "button", "action_id": self.action, "text": plain(self.label), "value": self.value, "style": "danger",
            "confirm": confirm,
        });
        json!({ "type": "actions", "elements": [button] })
    }
}

impl Reply {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            text: fit_lines(&text.into(), LONGEST_TEXT),
            is_public: false,
            button: None,
        }
    }

    /// Says which request failed: whoever runs the app finds the cause in the log by it.
    pub(crate) fn failed(text: impl Into<String>) -> Self {
        let text = text.into();
        Self::new(match request_note() {
            Some(note) => format!("{text} {note}"),
            None => text,
        })
    }

    /// With a button, if its value is one that Slack takes.
    pub(crate) fn with_button(self, button: Option<Button>) -> Self {
        let is_short = |it: &Button| it.value.chars().count() <= Button::LONGEST_VALUE;
        let button = button.filter(is_short);
        Self { button, ..self }
    }

    pub(crate) fn in_channel(self, is_public: bool) -> Self {
        Self { is_public, ..self }
    }

    pub(crate) fn json(&self) -> Value {
        let kind = match self.is_public {
            true => "in_channel",
            false => "ephemeral",
        };
        let mut message = json!({ "response_type": kind, "text": self.text });
        if let Some(button) = &self.button {
            let text = json!({ "type": "mrkdwn", "text": self.text });
            message["blocks"] = json!([{ "type": "section", "text": text }, button.block()]);
        }
        message
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        Json(self.json()).into_response()
    }
}

/// The id of the request that is being answered, for somebody whom it failed.
pub(crate) fn request_note() -> Option<String> {
    shown_id().map(|id| format!("(request {})", code(&id)))
}

/// Text from others, escaped so that it contains no links or mentions.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(['&', '<', '>']) {
        return Cow::Borrowed(text);
    }
    let escaped = text
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    Cow::Owned(escaped)
}

/// Text from Slack as typed: Slack escapes three characters.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}

/// Text from others as code, in which a backtick would end it.
pub(crate) fn code(text: &str) -> String {
    format!(
        "`{}`",
        escape(&text.replace('`', "'").replace(['\n', '\r'], " "))
    )
}

/// The beginning of a text, with at most this many characters and a mark where it was cut: never between a letter and its accent,
/// nor within an emoji.
pub(crate) fn shorten(text: &str, most: usize) -> Cow<'_, str> {
    if text.char_indices().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let room = most.saturating_sub(1);
    let mut kept = String::new();
    let mut length = 0;
    for cluster in text.graphemes(true) {
        length += cluster.chars().count();
        if length > room {
            break;
        }
        kept.push_str(cluster);
    }
    // Hundreds of accents on one letter are no language.
    if kept.is_empty() {
        kept.extend(text.chars().take(room));
    }
    kept.push('…');
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LONGEST_TEXT, Reply, code, escape, shorten, unescape};

    #[test]
    fn nobody_is_called_by_the_text_of_others() {
        assert_eq!(
            escape("<!channel> & <@U1>"),
            "&lt;!channel&gt; &amp; &lt;@U1&gt;"
        );
        assert_eq!(escape("plain"), "plain");
        assert_eq!(code("a`b\n<c>"), "`a'b &lt;c&gt;`");
    }

    #[test]
    fn letters_keep_their_accents() {
        assert_eq!(shorten("nai\u{308}ve", 4), "na…");
        assert_eq!(shorten("nai\u{308}ve", 5), "nai\u{308}…");
        assert_eq!(shorten("👩\u{200d}🚀👩\u{200d}🚀", 5), "👩\u{200d}🚀…");
        assert_eq!(shorten("e\u{301}\u{301}\u{301}", 3), "e\u{301}…");
    }

    /// A long reply is cut after a complete line, and says that there were more.
    #[test]
    fn replies_are_cut_between_lines() {
        let lines: Vec<String> = (0..100)
            .map(|number| format!("• {} is &amp; stays", code(&"ä".repeat(number))))
            .collect();
        let reply = Reply::new(lines.join("\n"));
        let said: Vec<&str> = reply.text().lines().collect();
        assert_eq!(said.last(), Some(&"… and more"));
        let kept = said.len() - 1;
        assert!(kept > 20 && said[..kept] == lines[..kept]);
        let one = Reply::new(code(&"&".repeat(1_000)));
        assert_eq!(one.text(), "…");
    }

    proptest! {
        #[test]
        fn what_is_typed_comes_back(text in "[a&<>;mplgt]{0,20}") {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }

        #[test]
        fn texts_are_cut_between_characters(text: String, most in 0..40_usize) {
            prop_assert!(shorten(&text, most.max(1)).chars().count() <= most.max(1));
            prop_assert!(!escape(&text).contains(['<', '>']));
        }

        #[test]
        fn replies_stay_within_the_limit(text in "[aä€😀&<>\n]{0,2000}", name in "[a&<`]{1,90}") {
            let reply = Reply::new(format!("{} {text}", escape(&text)));
            prop_assert!(reply.text().len() <= LONGEST_TEXT);
            // Neither an entity nor code is cut apart.
            let names = code(&name).repeat(60);
            let reply = Reply::new(names);
            prop_assert_eq!(reply.text().matches('`').count() % 2, 0);
            let entities = reply.text().matches('&').count();
            prop_assert_eq!(reply.text().matches(';').count(), entities);
        }
    }
}
