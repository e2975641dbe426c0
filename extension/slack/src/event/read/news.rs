//! Whether an event is news: most updates, jobs that did not fail and the like are none.

use super::kind::Kind;
use super::pipeline::Read;
use lockstep_webhook::{Differs, Event};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Always,
    /// Only where one of these changes is wanted.
    OnRequest(Vec<&'static str>),
    /// An update without news for others.
    MereUpdate,
    /// A job that did not fail, or was allowed to.
    OtherStatus,
    /// A reaction to something that not everybody may see.
    Confidential,
}

/// The changes that are only news on request, by their names in settings.
pub(crate) const ON_REQUEST: [&str; 3] = ["assignees", "labels", "milestone"];

impl News {
    pub(super) fn read(event: &Event, kind: Kind, is_confidential: bool) -> Read<Self> {
        match kind {
            Kind::Issue | Kind::ConfidentialIssue | Kind::Incident | Kind::MergeRequest => {
                of_item(event)
            }
            Kind::Release if event.action.at("action")?.is_some_and(|it| it == "update") => {
                Ok(Self::MereUpdate)
            }
            Kind::Job => {
                let status = event.build_status.required("build_status")?;
                let is_allowed =
                    event.build_allow_failure.at("build_allow_failure")? == Some(&true);
                Ok(match status == "failed" && !is_allowed {
                    true => Self::Always,
                    false => Self::OtherStatus,
                })
            }
            Kind::Emoji if is_confidential => Ok(Self::Confidential),
            _ => Ok(Self::Always),
        }
    }
}

fn of_item(event: &Event) -> Read<News> {
    let object = event.object_attributes.required("object_attributes")?;
    let action = object.action.at("object_attributes.action")?;
    if action.is_none_or(|action| action != "update") {
        return Ok(News::Always);
    }
    let Some(changes) = event.changes.at("changes")? else {
        return Ok(News::MereUpdate);
    };
    let is_ready =
        changes.draft.previous.get() == Some(&true) && changes.draft.current.get() == Some(&false);
    let is_asked_again = changes.reviewers.asked_again().next().is_some();
    // All are news for reviewers. What they have said of it until now is none.
    if changes.reviewers.differs() || is_asked_again || is_ready {
        return Ok(News::Always);
    }
    let [assignees, labels, milestone] = ON_REQUEST;
    let known = [
        (assignees, changes.assignees.differs()),
        (labels, changes.labels.differs()),
        (milestone, changes.milestone_id.differs()),
    ];
    let changed = known.into_iter().filter(|(_, differs)| *differs);
    let changed: Vec<&'static str> = changed.map(|(name, _)| name).collect();
    Ok(match changed.is_empty() {
        true => News::MereUpdate,
        false => News::OnRequest(changed),
    })
}
