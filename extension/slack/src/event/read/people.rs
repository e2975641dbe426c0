//! Who an event is for: the people who have something to do now, or whose work it is about. What people write names nobody.

use super::kind::Kind;
use crate::account::{GUEST, REPORTER};
use lockstep_webhook::{Event, List, Object, User};
use std::collections::BTreeSet;

pub(crate) struct People {
    /// The application's ids.
    pub(crate) users: BTreeSet<i64>,
    /// The path of the group that is mentioned.
    pub(crate) group: Option<String>,
    /// It reports a result, which is nobody's action.
    pub(crate) is_result: bool,
    /// The role that one needs to read of it everywhere: guests of a private project see its issues, but not its code.
    pub(crate) role: i32,
}

impl Default for People {
    fn default() -> Self {
        Self {
            users: BTreeSet::new(),
            group: None,
            is_result: false,
            role: REPORTER,
        }
    }
}

impl People {
    pub(crate) fn read(text: &str, kind: Kind) -> Self {
        let Ok(event) = Event::read(text) else {
            return Self::default();
        };
        let mut people = Self {
            is_result: matches!(kind, Kind::Pipeline | Kind::Deployment | Kind::Job),
            role: role(&event, kind),
            ..Self::default()
        };
        match kind {
            Kind::MergeRequest => people.add_of_item(&event, &[&event.assignees, &event.reviewers]),
            Kind::Issue | Kind::ConfidentialIssue | Kind::Incident => {
                people.add_of_item(&event, &[&event.assignees]);
            }
            // The author of an item may not be allowed to see its confidential comments.
            Kind::Note => {
                let noteables = [&event.merge_request, &event.issue, &event.work_item];
                people.add(noteables.map(|it| it.author_id.get()));
            }
            Kind::Job => people.add([event.user.id.get()]),
            Kind::Pipeline if *event.object_attributes.status == "failed" => {
                people.add([event.user.id.get()]);
            }
            Kind::Deployment if *event.status == "failed" => people.add([event.user.id.get()]),
            Kind::GroupMention | Kind::GroupConfidentialMention => {
                let group = &event.mentioned;
                let path = group.full_path.or(&group.name).to_owned();
                people.group = Some(path).filter(|path| !path.is_empty());
            }
            _ => {}
        }
        people
    }

    fn add<'e>(&mut self, ids: impl IntoIterator<Item = Option<&'e i64>>) {
        self.users.extend(ids.into_iter().flatten());
    }

    /// A new item is for those who are to work on it, a change for those who have been asked since, and its end for its author.
    fn add_of_item(&mut self, event: &Event, workers: &[&List<User>]) {
        let item = &event.object_attributes;
        match &**item.action {
            "open" | "reopen" => {
                self.add(workers.iter().flat_map(|users| ids(users)));
            }
            "update" => {
                let changes = &event.changes;
                for change in [&changes.reviewers, &changes.assignees] {
                    self.add(change.added().map(|user| user.id.get()));
                }
                let again = changes.reviewers.asked_again();
                self.add(again.map(|user| user.id.get()));
                let draft = &changes.draft;
                if draft.previous.get() == Some(&true) && draft.current.get() == Some(&false) {
                    self.add(ids(&event.reviewers));
                }
            }
            _ => self.add([item.author_id.get()]),
        }
    }
}

fn role(event: &Event, kind: Kind) -> i32 {
    let is_on_issue = event.issue.is_there() || event.work_item.is_there();
    match kind {
        Kind::Issue | Kind::ConfidentialIssue | Kind::Incident => GUEST,
        Kind::Note if is_on_issue && !event.merge_request.is_there() => GUEST,
        _ => REPORTER,
    }
}

fn ids<'e>(users: &'e List<User<'_>>) -> impl Iterator<Item = Option<&'e i64>> {
    users.iter().map(|user: &Object<User>| user.id.get())
}
