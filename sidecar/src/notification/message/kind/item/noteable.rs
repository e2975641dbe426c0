//! What a comment or mention is about.

use lockstep_webhook::Event;

use super::issue::label;
use crate::notification::message::markup::phrase::Phrase;
use crate::notification::message::markup::user_text::TITLE;

/// What it is, and how people refer to it.
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

    /// Appends it to a phrase, linked.
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

/// The one for a `noteable_type`, also in the spelling of `object_kind`.
pub(super) fn of(event: &Event, kind: &str) -> Named {
    let kind = kind.to_lowercase().replace(['_', ' '], "");
    let (noun, sign, noteable) = match kind.as_str() {
        "issue" => ("issue", "#", &event.issue),
        "workitem" if event.work_item.iid.get().is_none() => ("work item", "#", &event.issue),
        "workitem" => ("work item", "#", &event.work_item),
        "mergerequest" => ("merge request", "!", &event.merge_request),
        "epic" => ("epic", "&", &event.epic),
        "snippet" | "projectsnippet" | "personalsnippet" => ("snippet", "$", &event.snippet),
        "vulnerability" => ("vulnerability", "", &event.vulnerability),
        "wikipage" | "wikipage::meta" => ("wiki page", "", &event.wiki_page),
        "commit" => return commit(event),
        "designmanagement::design" => return Named::unknown("a design"),
        _ => return Named::unknown("something"),
    };
    let id = match noteable.iid.get() {
        Some(_) => &noteable.iid,
        None => &noteable.id,
    };
    Named {
        noun,
        label: label(sign, id, &noteable.title),
        is_confidential: *noteable.confidential,
    }
}

fn commit(event: &Event) -> Named {
    let id = event.commit.short_id();
    Named {
        noun: "commit",
        label: format!("{id} {}", event.commit.title()),
        is_confidential: false,
    }
}
