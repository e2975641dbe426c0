//! A message under construction, and as sent.

use lockstep_webhook::Project;

use serde_json::{Value, json};

use crate::database::Mention;
use crate::notification::message::markup::link::link;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::{NAME, line, lines};
use crate::slack::fit;

/// Slack's limits in characters: the text of a section, each of its ten fields, and the text without blocks, which may be longer
/// but is not shown completely. There is no documented limit for the text of a context: this is a field's.
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
const FIELDS: usize = 10;
const CONTEXT: usize = 2_000;
const TEXT: usize = 4_000;

/// Colors for results that need no attention, some, or immediate attention; and for events without a result.
pub(super) const GOOD: &str = "good";
pub(super) const WARNING: &str = "warning";
pub(super) const DANGER: &str = "danger";
pub(super) const ORANGE: &str = "#C95823";
pub(super) const SLATE: &str = "#334455";

/// A message as Slack accepts it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// Shown in notifications, and by clients that show no blocks.
    pub(crate) text: String,
    pub(crate) blocks: Vec<Value>,
    /// The color of the bar next to the message.
    pub(crate) color: Option<&'static str>,
    /// Markup that mentions users and user groups; empty if it mentions none.
    pub(crate) mentions: String,
}

impl Message {
    /// The same, for these users and groups. Only these become mentions: nothing that people wrote does.
    pub(crate) fn mentioning(mut self, mentions: &[Mention]) -> Self {
        let markup = mentions.iter().map(|mention| match mention {
            Mention::User(id) => format!("<@{id}>"),
            Mention::UserGroup(id) => format!("<!subteam^{id}>"),
        });
        self.mentions = markup.collect::<Vec<String>>().join(" ");
        self
    }

    /// The arguments of `chat.postMessage`.
    pub(crate) fn arguments(&self, channel: &str) -> Value {
        let mut arguments = json!({
            "channel": channel,
            "unfurl_links": false,
            "unfurl_media": false,
            // Nothing that is not already a link should become one; otherwise `chat.update` would look for links.
            "parse": "none",
            "link_names": false,
        });
        match self.color {
            // Only an attachment has a color. A text would be shown above it; the fallback replaces it in notifications.
            Some(color) => {
                arguments["attachments"] =
                    json!([{ "color": color, "fallback": self.text, "blocks": self.blocks }]);
                // In an attachment Slack would show the names, but notify nobody.
                if !self.mentions.is_empty() {
                    arguments["text"] = json!(self.mentions);
                }
            }
            None => {
                let mut blocks = self.blocks.clone();
                if !self.mentions.is_empty() {
                    blocks.push(json!({ "type": "section", "text": mrkdwn(&self.mentions) }));
                }
                arguments["text"] = json!(self.text);
                arguments["blocks"] = json!(blocks);
            }
        }
        arguments
    }

    /// The arguments of `chat.update` that replace another message completely. An update keeps the text, blocks and attachments
    /// that it leaves out, and the other message may be plain text, or have another form since an upgrade.
    pub(crate) fn replacement(&self, channel: &str, ts: &str) -> Value {
        let mut arguments = self.arguments(channel);
        arguments["ts"] = json!(ts);
        for (part, nothing) in [
            ("text", json!("")),
            ("blocks", json!([])),
            ("attachments", json!([])),
        ] {
            if arguments.get(part).is_none() {
                arguments[part] = nothing;
            }
        }
        arguments
    }
}

/// The parts of a message: a sentence, a quotation, details, and where it happened.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    headline: Phrase,
    body: String,
    fields: Vec<String>,
    context: Vec<String>,
    color: Option<&'static str>,
}

impl Draft {
    pub(super) fn new(headline: Phrase) -> Self {
        Self {
            headline,
            ..Self::default()
        }
    }

    /// A quotation. Without markup it follows the sentence, shortened for notifications.
    pub(super) fn quote(mut self, text: &str) -> Self {
        let lines = lines(text);
        let quoted: Vec<String> = lines.iter().map(|line| format!("&gt; {line}")).collect();
        self.body = quoted.join("\n");
        let words: Vec<&str> = lines
            .iter()
            .flat_map(|line| line.split_whitespace())
            .collect();
        if !words.is_empty() {
            let excerpt = fit(&words.join(" "), EXCERPT);
            self.headline = self.headline.plainly(&format!(": {excerpt}"));
        }
        self
    }

    /// Lines of markup below the sentence.
    pub(super) fn body(mut self, markup: String) -> Self {
        self.body = markup;
        self
    }

    /// A detail as markup, if there is one.
    pub(super) fn field(mut self, name: &str, markup: &str) -> Self {
        if !markup.is_empty() {
            self.fields.push(format!("*{name}*\n{markup}"));
        }
        self
    }

    /// The project in which it happened.
    pub(super) fn project(self, project: &Project) -> Self {
        let name = line(project.name(), NAME);
        self.context(link(project.url(), &name))
    }

    /// A part of the last line as markup, if there is one.
    pub(super) fn context(mut self, markup: impl Into<Option<String>>) -> Self {
        self.context
            .extend(markup.into().filter(|markup| !markup.is_empty()));
        self
    }

    pub(super) fn color(mut self, color: &'static str) -> Self {
        self.color = Some(color);
        self
    }

    pub(super) fn finish(self) -> Message {
        let mut section = self.headline.markup;
        if !self.body.is_empty() {
            section.push('\n');
            section.push_str(&self.body);
        }
        let mut section = json!({ "type": "section", "text": mrkdwn(&fit(&section, SECTION)) });
        if !self.fields.is_empty() {
            let fields = self.fields.iter().take(FIELDS);
            section["fields"] = fields.map(|field| mrkdwn(&fit(field, FIELD))).collect();
        }
        let mut blocks = vec![section];
        if !self.context.is_empty() {
            let context = fit(&self.context.join(" · "), CONTEXT);
            blocks.push(json!({ "type": "context", "elements": [mrkdwn(&context)] }));
        }
        Message {
            text: fit(&self.headline.plain, TEXT),
            blocks,
            color: self.color,
            mentions: String::new(),
        }
    }
}

/// How much of a quotation a notification shows.
const EXCERPT: usize = 300;

/// Verbatim: addresses and names in user text must not become links.
fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

#[cfg(test)]
mod tests {
    use super::Draft;
    use crate::notification::message::markup::phrase::Phrase;

    #[test]
    fn every_part_is_cut_to_what_slack_takes() {
        let long = "long ".repeat(2_000);
        let mut draft = Draft::new(Phrase::new(&long)).context(long.clone());
        for _ in 0..12 {
            draft = draft.field("Field", &long);
        }
        let message = draft.finish();
        let length =
            |text: &serde_json::Value| text["text"].as_str().map_or(0, |text| text.chars().count());
        let section = &message.blocks[0];
        assert_eq!(message.text.chars().count(), 4_000);
        assert_eq!(length(&section["text"]), 3_000);
        let fields = section["fields"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(fields.len(), 10);
        assert!(fields.iter().all(|field| length(field) == 2_000));
        assert_eq!(length(&message.blocks[1]["elements"][0]), 2_000);
    }
}
