//! What is commented on, or mentions somebody.

use serde::Deserialize;

use super::issue::label;
use super::payload::{Commit, Flag, Part, Text};
use super::phrase::Phrase;
use super::user_text::TITLE;

/// The parts of a payload that may hold it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Noteables {
    issue: Part<Noteable>,
    work_item: Part<Noteable>,
    merge_request: Part<Noteable>,
    snippet: Part<Noteable>,
    epic: Part<Noteable>,
    commit: Part<Commit>,
    vulnerability: Part<Noteable>,
    wiki_page: Part<Noteable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Noteable {
    id: Text,
    iid: Text,
    title: Text,
    confidential: Flag,
}

/// What it is called, and by what people know it.
pub(super) struct Named {
    pub(super) noun: &'static str,
    pub(super) label: String,
    pub(super) is_confidential: bool,
}

impl Named {
    fn unknown(noun: &'static str) -> Self {
        Self {
            noun,
            label: String::new(),
            is_confidential: false,
        }
    }

    /// A phrase that goes on with it, linked.
    pub(super) fn after(&self, phrase: Phrase, address: &str) -> Phrase {
        match self.label.trim() {
            "" => phrase.link(address, "", TITLE, self.noun),
            label => {
                phrase
                    .words(self.noun)
                    .words(" ")
                    .link(address, label, TITLE, "without a title")
            }
        }
    }
}

impl Noteables {
    /// That of a `noteable_type`, also as it is written in `object_kind`.
    pub(super) fn named(&self, kind: &str) -> Named {
        let kind = kind.to_lowercase().replace(['_', ' '], "");
        let (noun, sign, noteable) = match kind.as_str() {
            "issue" => ("issue", "#", &self.issue),
            "workitem" if self.work_item.iid.is_empty() => ("work item", "#", &self.issue),
            "workitem" => ("work item", "#", &self.work_item),
            "mergerequest" => ("merge request", "!", &self.merge_request),
            "epic" => ("epic", "&", &self.epic),
            "snippet" | "projectsnippet" | "personalsnippet" => ("snippet", "$", &self.snippet),
            "vulnerability" => ("vulnerability", "", &self.vulnerability),
            "wikipage" | "wikipage::meta" => ("wiki page", "", &self.wiki_page),
            "commit" => return self.commit(),
            "designmanagement::design" => return Named::unknown("a design"),
            _ => return Named::unknown("something"),
        };
        Named {
            noun,
            label: label(sign, noteable.iid.or(&noteable.id), &noteable.title),
            is_confidential: noteable.confidential.is_set(),
        }
    }

    fn commit(&self) -> Named {
        let id = self.commit.short_id();
        Named {
            noun: "commit",
            label: format!("{id} {}", self.commit.title()),
            is_confidential: false,
        }
    }
}
