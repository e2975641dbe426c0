//! The kinds of events that integrations can be notified of.

/// In the order in which channels are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Push,
    TagPush,
    Issue,
    ConfidentialIssue,
    Incident,
    MergeRequest,
    Note,
    ConfidentialNote,
    Pipeline,
    WikiPage,
    Deployment,
    Alert,
    Vulnerability,
    GroupMention,
    GroupConfidentialMention,
    Job,
    Release,
    Milestone,
    FeatureFlag,
    Emoji,
}

pub(crate) const KINDS: [Kind; 20] = [
    Kind::Push,
    Kind::TagPush,
    Kind::Issue,
    Kind::ConfidentialIssue,
    Kind::Incident,
    Kind::MergeRequest,
    Kind::Note,
    Kind::ConfidentialNote,
    Kind::Pipeline,
    Kind::WikiPage,
    Kind::Deployment,
    Kind::Alert,
    Kind::Vulnerability,
    Kind::GroupMention,
    Kind::GroupConfidentialMention,
    Kind::Job,
    Kind::Release,
    Kind::Milestone,
    Kind::FeatureFlag,
    Kind::Emoji,
];

impl Kind {
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        KINDS.into_iter().find(|kind| kind.name() == name)
    }

    /// Its name in settings.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::TagPush => "tag_push",
            Self::Issue => "issue",
            Self::ConfidentialIssue => "confidential_issue",
            Self::Incident => "incident",
            Self::MergeRequest => "merge_request",
            Self::Note => "note",
            Self::ConfidentialNote => "confidential_note",
            Self::Pipeline => "pipeline",
            Self::WikiPage => "wiki_page",
            Self::Deployment => "deployment",
            Self::Alert => "alert",
            Self::Vulnerability => "vulnerability",
            Self::GroupMention => "group_mention",
            Self::GroupConfidentialMention => "group_confidential_mention",
            Self::Job => "job",
            Self::Release => "release",
            Self::Milestone => "milestone",
            Self::FeatureFlag => "feature_flag",
            Self::Emoji => "emoji",
        }
    }

    /// Not everybody who can see the project may see any of these.
    pub(crate) fn is_confidential(self) -> bool {
        matches!(
            self,
            Self::ConfidentialIssue
                | Self::ConfidentialNote
                | Self::GroupConfidentialMention
                | Self::Vulnerability
        )
    }

    /// Nor some of these: the application has one switch for all incidents.
    pub(crate) fn may_be_confidential(self) -> bool {
        self.is_confidential() || self == Self::Incident
    }

    /// The column of the application's integrations that switches it. Events without one are only sent where they are named.
    pub(crate) fn column(self) -> Option<&'static str> {
        Some(match self {
            Self::Push => "push_events",
            Self::TagPush => "tag_push_events",
            Self::Issue => "issues_events",
            Self::ConfidentialIssue => "confidential_issues_events",
            Self::Incident => "incident_events",
            Self::MergeRequest => "merge_requests_events",
            Self::Note => "note_events",
            Self::ConfidentialNote => "confidential_note_events",
            Self::Pipeline => "pipeline_events",
            Self::WikiPage => "wiki_page_events",
            Self::Deployment => "deployment_events",
            Self::Alert => "alert_events",
            Self::Vulnerability => "vulnerability_events",
            Self::GroupMention => "group_mention_events",
            Self::GroupConfidentialMention => "group_confidential_mention_events",
            Self::Job | Self::Release | Self::Milestone | Self::FeatureFlag | Self::Emoji => {
                return None;
            }
        })
    }

    /// The kind whose channels are used if it has none of its own.
    pub(crate) fn general(self) -> Option<Self> {
        match self {
            Self::ConfidentialIssue => Some(Self::Issue),
            Self::ConfidentialNote => Some(Self::Note),
            _ => None,
        }
    }

    /// It happens in a group, not in a project.
    pub(crate) fn is_of_group(self) -> bool {
        matches!(self, Self::GroupMention | Self::GroupConfidentialMention)
    }

    /// One bit each.
    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}
