//! A sentence about what happened, with Slack's markup and without it.

use lockstep_webhook::{Project, User};

use super::link::link;
use super::user_text::{NAME, code, line};

#[derive(Clone, Debug, Default)]
pub(in crate::notification::message) struct Phrase {
    pub(in crate::notification::message) markup: String,
    pub(in crate::notification::message) plain: String,
}

impl Phrase {
    /// Our own words.
    pub(in crate::notification::message) fn new(words: &str) -> Self {
        Self::default().words(words)
    }

    /// The user who did it.
    pub(in crate::notification::message) fn of(user: &User) -> Self {
        let name = line(user.name.or(&user.username), NAME);
        let username = line(&user.username, NAME);
        if name.is_empty() {
            return Self::new("Somebody");
        }
        let username = match username.is_empty() || username == name {
            true => String::new(),
            false => format!(" ({username})"),
        };
        Self {
            markup: format!("*{name}*{username}"),
            plain: format!("{name}{username}"),
        }
    }

    pub(in crate::notification::message) fn words(mut self, words: &str) -> Self {
        self.markup.push_str(words);
        self.plain.push_str(words);
        self
    }

    /// Our own words, only where there is no markup.
    pub(in crate::notification::message) fn plainly(mut self, words: &str) -> Self {
        self.plain.push_str(words);
        self
    }

    /// Only where there is markup.
    pub(in crate::notification::message) fn marked(mut self, markup: &str) -> Self {
        self.markup.push_str(markup);
        self
    }

    /// A link with user text, or with our own words if that shows nothing.
    pub(in crate::notification::message) fn link(
        mut self,
        address: &str,
        label: &str,
        most: usize,
        unnamed: &str,
    ) -> Self {
        let label = line(label, most);
        let label = if label.is_empty() { unnamed } else { &label };
        self.markup.push_str(&link(address, label));
        self.plain.push_str(label);
        self
    }

    /// An identifier as code; our own words if it shows nothing.
    pub(in crate::notification::message) fn code(mut self, name: &str, unnamed: &str) -> Self {
        match code(name, NAME) {
            empty if empty.is_empty() => self.words(unnamed),
            code => {
                self.markup.push_str(&code);
                self.plain.push_str(&line(name, NAME));
                self
            }
        }
    }

    /// The project in which it happened, where no context says so.
    pub(in crate::notification::message) fn within(self, project: &Project) -> Self {
        match line(project.name(), NAME) {
            name if name.is_empty() => self,
            name => self.plainly(&format!(" in {name}")),
        }
    }
}
