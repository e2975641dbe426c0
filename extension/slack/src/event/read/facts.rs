//! What only routes ask of an event, so it is only read where there are routes.

use lockstep_webhook::{Event, ObjectKind};
use std::borrow::Cow;

#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub(crate) is_tag: bool,
    /// Of a merge request.
    pub(crate) is_draft: Option<bool>,
    /// The branch that a merge request is to be merged into.
    pub(crate) target_branch: Option<Cow<'a, str>>,
    pub(crate) paths: Vec<Cow<'a, str>>,
    pub(crate) environment: Option<Cow<'a, str>>,
    pub(crate) severity: Option<Cow<'a, str>>,
}

impl<'a> Facts<'a> {
    /// `is_of_tag`: what was deployed is known to be a tag.
    pub(crate) fn read(text: &'a str, is_of_tag: bool) -> Self {
        let Ok(event) = Event::read(text) else {
            return Self::default();
        };
        let it = &event.object_attributes;
        let is_merge_request = event.kind() == Some(ObjectKind::MergeRequest);
        let commits = event.commits.iter().flat_map(|commit| {
            let lists = [&commit.added, &commit.modified, &commit.removed];
            lists.map(|list| list.iter().filter_map(|path| path.get().cloned()))
        });
        Self {
            is_tag: is_of_tag
                || event.kind() == Some(ObjectKind::TagPush)
                || *it.tag
                || event.tag.is_it
                || event.kind() == Some(ObjectKind::Release)
                || event.reference.starts_with("refs/tags/"),
            is_draft: is_merge_request.then(|| *it.draft || *it.work_in_progress),
            target_branch: it.target_branch.get().filter(|_| is_merge_request).cloned(),
            paths: commits.flatten().collect(),
            environment: event.environment.get().cloned(),
            severity: it.severity.get().cloned(),
        }
    }
}
