//! An answer as messages that Slack accepts.

use std::fmt::Write;

use crate::slack::{Button, LONGEST_TEXT, Reply, escape, fit_lines, shorten};

/// How often a response URL may be used.
const MOST_PAGES: usize = 5;

/// Space for the note about lines that are left out.
const NOTE: usize = 100;
const FENCE: &str = "```";

/// An answer: lines, some of which are code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Visible to others in the channel as well.
    is_public: bool,
    lines: Vec<Line>,
    /// Below the last message.
    button: Option<Button>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Markup, with user text already escaped.
    Marked(String),
    Code(String),
}

impl Answer {
    pub(super) fn text(text: impl Into<String>) -> Self {
        let mut answer = Self::default();
        answer.say(text);
        answer
    }

    /// Shown as in a terminal.
    pub(super) fn code(text: &str) -> Self {
        let lines = text.trim_end().lines();
        Self {
            lines: lines.map(|line| Line::Code(line.to_owned())).collect(),
            ..Self::default()
        }
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Marked(text.into()));
    }

    pub(super) fn with_button(mut self, button: Button) -> Self {
        self.button = Some(button);
        self
    }

    pub(super) fn publish(mut self) -> Self {
        self.is_public = true;
        self
    }

    /// Split between lines; lines beyond the limit are counted.
    pub(crate) fn pages(&self) -> Vec<Reply> {
        let most = LONGEST_TEXT - NOTE;
        let mut pages: Vec<String> = Vec::new();
        let mut page = String::new();
        let mut is_code = false;
        for (place, line) in self.lines.iter().enumerate() {
            let (text, wants_code) = match line {
                Line::Marked(text) => (fit_lines(text, most), false),
                Line::Code(text) => {
                    let safe = escape(text).replace(FENCE, "'''");
                    (fit_lines(&safe, most - 2 * FENCE.len() - 2), true)
                }
            };
            // Both fences are counted for each line of code.
            let needed = text.len() + 1 + 2 * (FENCE.len() + 1);
            if !page.is_empty() && page.len() + needed > most {
                close(&mut page, &mut is_code);
                pages.push(std::mem::take(&mut page));
                if pages.len() == MOST_PAGES {
                    let left = self.lines.len() - place;
                    if let Some(last) = pages.last_mut() {
                        // Writing to a String never fails.
                        let _ = write!(
                            last,
                            "… and {left} more lines, which are too long for Slack."
                        );
                    }
                    break;
                }
            }
            if wants_code != is_code {
                match wants_code {
                    true => {
                        page.push_str(FENCE);
                        page.push('\n');
                        is_code = true;
                    }
                    false => close(&mut page, &mut is_code),
                }
            }
            page.push_str(&text);
            page.push('\n');
        }
        if !page.is_empty() {
            close(&mut page, &mut is_code);
            pages.push(page);
        }
        let reply = |page: &String| Reply::new(page.trim_end()).in_channel(self.is_public);
        let mut replies: Vec<Reply> = pages.iter().map(reply).collect();
        if let Some(last) = replies.pop() {
            replies.push(last.with_button(self.button.clone()));
        }
        replies
    }
}

fn close(page: &mut String, is_code: &mut bool) {
    if *is_code {
        page.push_str(FENCE);
        page.push('\n');
        *is_code = false;
    }
}

/// A name within other text.
pub(super) fn plain(name: &str) -> String {
    escape(&shorten(name, 255)).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Answer, Line, MOST_PAGES};
    use crate::slack::LONGEST_TEXT;

    #[test]
    fn a_short_answer_is_one_message() {
        let mut answer = Answer::text("*one*");
        answer.lines.push(Line::Code("a <b> ```".to_owned()));
        answer.say("two");
        let pages = answer.pages();
        let texts: Vec<&str> = pages.iter().map(|page| page.text()).collect();
        assert_eq!(texts, ["*one*\n```\na &lt;b&gt; '''\n```\ntwo"]);
    }

    #[test]
    fn what_is_too_much_is_counted() {
        let lines: Vec<String> = (0..1_000)
            .map(|line| format!("line {line} {}", "x".repeat(50)))
            .collect();
        let pages = Answer::code(&lines.join("\n")).pages();
        assert_eq!(pages.len(), MOST_PAGES);
        let all: String = pages.iter().map(|page| page.text()).collect();
        let shown = lines
            .iter()
            .filter(|line| all.contains(line.as_str()))
            .count();
        let last = pages[MOST_PAGES - 1].text();
        assert!(
            last.ends_with(&format!(
                "… and {} more lines, which are too long for Slack.",
                1_000 - shown
            )),
            "{last}"
        );
    }

    /// A line that is too long by itself ends with a mark, before a part that does not fit.
    #[test]
    fn what_is_cut_of_a_line_is_marked() {
        let long = "x".repeat(2_896);
        let mut answer = Answer::text(format!("{long}&amp;y"));
        assert_eq!(answer.pages()[0].text(), format!("{long}…"));
        answer = Answer::code(&format!("{}&y", "x".repeat(2_887)));
        let expected = format!("```\n{}…\n```", "x".repeat(2_887));
        assert_eq!(answer.pages()[0].text(), expected);
    }

    proptest! {
        #[test]
        fn pages_are_whole_and_fit(lines in proptest::collection::vec((any::<bool>(), "[a-zä€ `<&]{0,400}"), 0..60)) {
            let mut answer = Answer::default();
            for (is_code, line) in &lines {
                answer.lines.push(match is_code {
                    true => Line::Code(line.clone()),
                    false => Line::Marked(line.replace('`', "'")),
                });
            }
            let pages = answer.pages();
            prop_assert!(pages.len() <= MOST_PAGES);
            for page in &pages {
                prop_assert!(page.text().len() <= LONGEST_TEXT);
                prop_assert_eq!(page.text().matches("```").count() % 2, 0);
            }
        }
    }
}
