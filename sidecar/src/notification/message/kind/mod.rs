//! The message for each kind of event.

mod alert;
mod deployment;
mod feature_flag;
mod item;
mod job;
mod pipeline;
mod push;
mod release;
mod test;
mod unknown;
mod vulnerability;
mod wiki_page;

use lockstep_webhook::{Event, ObjectKind};

use super::draft::Draft;
use item::{emoji, issue, mention, merge_request, milestone, note, reviews};

pub(super) fn draft(event: &Event) -> Draft {
    match event.kind() {
        Some(ObjectKind::Push | ObjectKind::TagPush) => push::draft(event),
        Some(ObjectKind::Issue | ObjectKind::WorkItem | ObjectKind::Incident) => {
            issue::draft(event)
        }
        Some(ObjectKind::MergeRequest) => merge_request::draft(event),
        Some(ObjectKind::Note) => note::draft(event),
        Some(ObjectKind::Pipeline) => pipeline::draft(event),
        Some(ObjectKind::WikiPage) => wiki_page::draft(event),
        Some(ObjectKind::Deployment) => deployment::draft(event),
        Some(ObjectKind::Alert) => alert::draft(event),
        Some(ObjectKind::Vulnerability) => vulnerability::draft(event),
        Some(ObjectKind::GroupMention) => mention::draft(event),
        Some(ObjectKind::Build) => job::draft(event),
        Some(ObjectKind::Release) => release::draft(event),
        Some(ObjectKind::Milestone) => milestone::draft(event),
        Some(ObjectKind::FeatureFlag) => feature_flag::draft(event),
        Some(ObjectKind::Emoji) => emoji::draft(event),
        Some(ObjectKind::LockstepReviews) => reviews::draft(event),
        Some(ObjectKind::LockstepTest) => test::draft(event),
        None => unknown::draft(event),
    }
}
