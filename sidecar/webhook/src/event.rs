//! An event, and what it is about. Each kind has some of the fields.

use crate::field::{BadField, Field, List, Object, Source, Tag, Text};
use crate::object::{
    Changes, Commit, Group, Identifier, Integration, Job, Label, Location, Noteable, Project, User,
    Waiting,
};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;
use serde_json::Value;

/// The kind of an event, by its `object_kind`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ObjectKind {
    Push,
    TagPush,
    Issue,
    WorkItem,
    Incident,
    MergeRequest,
    Note,
    Pipeline,
    WikiPage,
    Deployment,
    Alert,
    Vulnerability,
    GroupMention,
    /// A job.
    Build,
    Release,
    Milestone,
    FeatureFlag,
    Emoji,
    /// Not a GitLab event: a test message.
    LockstepTest,
    /// Nor this one: merge requests that wait for a review.
    LockstepReviews,
}

impl ObjectKind {
    fn of_name(name: &str) -> Option<Self> {
        let name: StrDeserializer<serde::de::value::Error> = name.into_deserializer();
        Self::deserialize(name).ok()
    }
}

/// The kind decides which of the fields it has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Event<'a> {
    pub object_kind: Text<'a>,
    pub event_type: Text<'a>,
    pub user: Object<User<'a>>,
    pub project: Object<Project<'a>>,
    pub project_id: Field<i64>,
    pub object_attributes: Object<Attributes<'a>>,

    // For pushes; deployments and some others have part of it.
    #[serde(rename = "ref")]
    pub reference: Text<'a>,
    pub ref_protected: Field<bool>,
    pub before: Text<'a>,
    pub after: Text<'a>,
    /// For an annotated tag.
    pub message: Text<'a>,
    pub user_id: Field<i64>,
    pub user_name: Text<'a>,
    pub user_username: Text<'a>,
    pub commits: List<Commit<'a>>,
    /// At most the last twenty of them are included.
    pub total_commits_count: Field<i64>,

    // Issues and merge requests.
    pub labels: List<Label<'a>>,
    pub assignees: List<User<'a>>,
    pub reviewers: List<User<'a>>,
    pub changes: Object<Changes<'a>>,

    // What a comment is on, or what mentions a group; a pipeline has a merge request and a commit, too.
    pub issue: Object<Noteable<'a>>,
    pub work_item: Object<Noteable<'a>>,
    pub merge_request: Object<Noteable<'a>>,
    pub epic: Object<Noteable<'a>>,
    pub vulnerability: Object<Noteable<'a>>,
    pub snippet: Object<Noteable<'a>>,
    pub wiki_page: Object<Noteable<'a>>,
    /// The comment that has an emoji.
    pub note: Object<Noteable<'a>>,
    pub commit: Object<Commit<'a>>,

    pub mentioned: Object<Group<'a>>,
    pub group: Object<Group<'a>>,
    pub group_id: Field<i64>,

    /// For a pipeline.
    pub builds: List<Job<'a>>,

    // A job; a release has a tag, too.
    pub build_id: Field<i64>,
    pub build_name: Text<'a>,
    pub build_stage: Text<'a>,
    pub build_status: Text<'a>,
    pub build_failure_reason: Text<'a>,
    pub build_allow_failure: Field<bool>,
    pub pipeline_id: Field<i64>,
    pub sha: Text<'a>,
    pub tag: Field<Tag<'a>>,

    // Releases; milestones have an action as well.
    pub name: Text<'a>,
    pub description: Text<'a>,
    pub url: Text<'a>,
    pub action: Text<'a>,
    pub released_at: Text<'a>,

    // Deployments.
    pub deployment_id: Field<i64>,
    /// Not GitLab's: what was deployed there before.
    pub previous_sha: Text<'a>,
    pub status: Text<'a>,
    pub status_changed_at: Text<'a>,
    pub deployable_id: Field<i64>,
    pub deployable_url: Text<'a>,
    pub environment: Text<'a>,
    pub short_sha: Text<'a>,
    pub commit_url: Text<'a>,
    pub commit_title: Text<'a>,
    pub user_url: Text<'a>,

    /// Merge requests that wait.
    pub merge_requests: List<Waiting<'a>>,
    pub total_count: Field<i64>,
    pub gitlab_url: Text<'a>,

    /// For a test.
    pub integration: Object<Integration<'a>>,
}

impl<'a> Event<'a> {
    /// Parses an event as received.
    pub fn read(text: &'a str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self::whole)
    }

    /// The known part of an event; empty if the value is not an object.
    pub fn of(value: &'a Value) -> Self {
        Object::deserialize(value)
            .map(Self::whole)
            .unwrap_or_default()
    }

    fn whole(whole: Object<Self>) -> Self {
        whole.into_value().0
    }

    pub fn kind(&self) -> Option<ObjectKind> {
        ObjectKind::of_name(&self.object_kind)
    }

    /// The event's project.
    pub fn project(&self) -> Result<i64, BadField> {
        if let Some(project) = self.project.at("project")?
            && let Some(id) = project.id.at("project.id")?
        {
            return Ok(*id);
        }
        if let Some(id) = self.project_id.at("project_id")? {
            return Ok(*id);
        }
        if let Some(object) = self.object_attributes.at("object_attributes")?
            && let Some(id) = object.project_id.at("object_attributes.project_id")?
        {
            return Ok(*id);
        }
        Err(BadField("project.id".to_owned()))
    }
}

/// What the event is about, except for pushes and deployments.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Attributes<'a> {
    pub id: Field<i64>,
    pub iid: Field<i64>,
    pub project_id: Field<i64>,
    pub title: Text<'a>,
    pub description: Text<'a>,
    pub url: Text<'a>,
    pub action: Text<'a>,
    pub author_id: Field<i64>,
    pub updated_at: Text<'a>,

    // Issues, and other confidential items.
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    pub work_item_type: Text<'a>,
    pub confidential: Field<bool>,
    pub severity: Text<'a>,
    pub due_date: Text<'a>,
    pub labels: List<Label<'a>>,

    // Merge requests.
    pub source_branch: Text<'a>,
    pub target_branch: Text<'a>,
    pub draft: Field<bool>,
    pub work_in_progress: Field<bool>,

    // Comments.
    pub note: Text<'a>,
    pub noteable_type: Text<'a>,
    pub internal: Field<bool>,

    /// For a mention of a group.
    pub object_kind: Text<'a>,

    // Emoji.
    pub awardable_type: Text<'a>,
    pub awarded_on_url: Text<'a>,

    /// For a feature flag.
    pub active: Field<bool>,

    // Pipelines.
    pub name: Text<'a>,
    #[serde(rename = "ref")]
    pub reference: Text<'a>,
    pub tag: Field<bool>,
    pub protected_ref: Field<bool>,
    /// What started it: a push, a merge request, another pipeline, ...
    pub source: Field<Source<'a>>,
    /// What GitLab makes of the branch's pipelines: `broken`, `still_failing`, `fixed`, ...
    pub ref_status_name: Text<'a>,
    pub sha: Text<'a>,
    pub status: Text<'a>,
    pub detailed_status: Text<'a>,
    pub stages: Field<Vec<Text<'a>>>,
    pub finished_at: Text<'a>,
    /// In seconds.
    pub duration: Field<f64>,
    pub yaml_errors: Text<'a>,

    // Pages of wikis.
    pub slug: Text<'a>,
    /// The commit's.
    pub message: Text<'a>,
    pub diff_url: Text<'a>,

    // Alerts.
    pub events: Field<i64>,
    pub started_at: Text<'a>,

    // Vulnerabilities.
    pub state: Text<'a>,
    pub report_type: Text<'a>,
    pub location: Object<Location<'a>>,
    pub identifiers: List<Identifier<'a>>,
    pub issues: List<Noteable<'a>>,
}
