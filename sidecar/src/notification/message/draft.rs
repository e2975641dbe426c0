//! A message while it is put together, and as it is sent.

use serde_json::{Value, json};

use super::link::link;
use super::payload::Project;
use super::phrase::Phrase;
use super::user_text::{NAME, line, lines};

/// Slack's limits, in characters: the text of a section, each of its ten fields, and the text without blocks, which may be longer
/// but is not shown any longer. For the text of a context there is no limit in writing: this is a field's.
const SECTION: usize = 3_000;
const FIELD: usize = 2_000;
const FIELDS: usize = 10;
const CONTEXT: usize = 2_000;
const TEXT: usize = 4_000;

/// Colours of what needs none to look, some, or all of it; and of what only happened.
pub(super) const GOOD: &str = "good";
pub(super) const WARNING: &str = "warning";
pub(super) const DANGER: &str = "danger";
pub(super) const ORANGE: &str = "#C95823";
pub(super) const SLATE: &str = "#334455";

/// A message as Slack takes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    /// What notifications show, and clients that show no blocks.
    pub(crate) text: String,
    pub(crate) blocks: Vec<Value>,
    /// That of the bar beside the message.
    pub(crate) color: Option<&'static str>,
}

impl Message {
    /// The arguments of `chat.postMessage`; of `chat.update` as well, once `ts` is added, as a kind of message either always has a
    /// colour or never: an update leaves as they were those of `blocks` and `attachments` that it is not given.
    pub(crate) fn arguments(&self, channel: &str) -> Value {
        let mut arguments = json!({
            "channel": channel,
            "unfurl_links": false,
            "unfurl_media": false,
            // What is no link already is not to become one; `chat.update` would else look for some.
            "parse": "none",
            "link_names": false,
        });
        match self.color {
            // Only an attachment has a colour. A text beside it would be shown above; the fallback stands in for it in notifications.
            Some(color) => {
                arguments["attachments"] =
                    json!([{ "color": color, "fallback": self.text, "blocks": self.blocks }]);
            }
            None => {
                arguments["text"] = json!(self.text);
                arguments["blocks"] = json!(self.blocks);
            }
        }
        arguments
    }
}

/// What a message says: a sentence, what was written, details, and where it happened.
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

    /// What somebody wrote. Without markup it follows the sentence, as far as a notification shows it.
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

    /// A detail, as markup, if there is something to tell.
    pub(super) fn field(mut self, name: &str, markup: &str) -> Self {
        if !markup.is_empty() {
            self.fields.push(format!("*{name}*\n{markup}"));
        }
        self
    }

    /// The project it happened in.
    pub(super) fn project(self, project: &Project) -> Self {
        let name = line(project.name(), NAME);
        self.context(link(project.url(), &name))
    }

    /// A part of the last line, as markup, if there is something to tell.
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
        }
    }
}

/// So much of what somebody wrote is in a notification.
const EXCERPT: usize = 300;

/// Verbatim: addresses and names in what people wrote are not to become links.
fn mrkdwn(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": text, "verbatim": true })
}

/// The beginning of markup, in so many characters at most, not cut within a link or an escaped character.
fn fit(markup: &str, most: usize) -> String {
    if markup.char_indices().nth(most).is_none() {
        return markup.to_owned();
    }
    let mut kept = 0;
    let mut room = most.saturating_sub(1);
    while kept < markup.len() {
        let rest = &markup[kept..];
        let whole = match rest.as_bytes()[0] {
            b'<' => rest.find('>').map_or(rest.len(), |end| end + 1),
            b'&' => rest.find(';').map_or(rest.len(), |end| end + 1),
            _ => rest.ceil_char_boundary(1),
        };
        let length = rest[..whole].chars().count();
        if length > room {
            break;
        }
        room -= length;
        kept += whole;
    }
    format!("{}…", &markup[..kept])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Draft, Phrase, fit};

    #[test]
    fn markup_is_cut_between_its_parts() {
        let cases = [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a&amp;b", 6, "a…"),
            ("a&amp;bc", 7, "a&amp;…"),
            ("a <https://b.example|c> d", 24, "a <https://b.example|c>…"),
            ("a <https://b.example|c> d", 23, "a …"),
            ("äöü€", 3, "äö…"),
        ];
        for (markup, most, expected) in cases {
            assert_eq!(fit(markup, most), expected, "{markup} {most}");
        }
    }

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

    proptest! {
        #[test]
        fn markup_fits(pieces in proptest::collection::vec("&amp;|&lt;|&gt;|<https://a[.]b/[a-z]{0,9}\\|[a-zä]{1,9}>|[a-zäé😀 ]{1,9}", 0..30), most in 1..200_usize) {
            let markup = pieces.concat();
            let cut = fit(&markup, most);
            prop_assert!(cut.chars().count() <= most);
            let kept = cut.strip_suffix('…').unwrap_or(&cut);
            prop_assert!(markup.starts_with(kept));
            prop_assert_eq!(kept.matches('<').count(), kept.matches('>').count());
            prop_assert_eq!(kept.matches('&').count(), kept.matches(';').count());
        }
    }
}
