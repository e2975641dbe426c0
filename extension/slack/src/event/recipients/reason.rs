//! Why nobody is notified of an event: each reason is an outcome of its own.

/// Why nobody is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    SilentMode,
    PendingDelete,
    Archived,
    ProjectGone,
    Inactive,
    NotInstalled,
    EventOff,
    FeatureOff,
    FeatureUnknown,
    Action,
    JobStatus,
    Confidential,
    Branch,
    Labels,
    ChildPipeline,
    PipelineStatus,
    Repeated,
    Author,
    NoChannel,
    NoRoute,
    SameChannel,
}

impl Reason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SilentMode => "silent_mode",
            Self::PendingDelete => "pending_delete",
            Self::Archived => "archived",
            Self::ProjectGone => "project_gone",
            Self::Inactive => "inactive",
            Self::NotInstalled => "not_installed",
            Self::EventOff => "event_off",
            Self::FeatureOff => "feature_off",
            Self::FeatureUnknown => "feature_unknown",
            Self::Action => "action",
            Self::JobStatus => "job_status",
            Self::Confidential => "confidential",
            Self::Branch => "branch",
            Self::Labels => "labels",
            Self::ChildPipeline => "child_pipeline",
            Self::PipelineStatus => "pipeline_status",
            Self::Repeated => "repeated",
            Self::Author => "author",
            Self::NoChannel => "no_channel",
            Self::NoRoute => "no_route",
            Self::SameChannel => "same_channel",
        }
    }
}
