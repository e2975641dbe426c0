//! An event, and the objects in it. Each kind has some of the fields.

use crate::field::{BadField, Field, List, Object, Source, Text};
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
    /// Not a GitLab event: a test message.
    LockstepTest,
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
    pub commit: Object<Commit<'a>>,

    pub mentioned: Object<Group<'a>>,
    pub group: Object<Group<'a>>,
    pub group_id: Field<i64>,

    /// For a pipeline.
    pub builds: List<Job<'a>>,

    // Deployments.
    pub status: Text<'a>,
    pub status_changed_at: Text<'a>,
    pub deployable_id: Field<i64>,
    pub deployable_url: Text<'a>,
    pub environment: Text<'a>,
    pub short_sha: Text<'a>,
    pub commit_url: Text<'a>,
    pub commit_title: Text<'a>,
    pub user_url: Text<'a>,

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

/// Who did it, or is assigned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct User<'a> {
    pub id: Field<i64>,
    pub name: Text<'a>,
    pub username: Text<'a>,
}

/// Where it happened.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Project<'a> {
    pub id: Field<i64>,
    pub name: Text<'a>,
    pub path_with_namespace: Text<'a>,
    pub default_branch: Text<'a>,
    pub web_url: Text<'a>,
    pub homepage: Text<'a>,
}

impl Project<'_> {
    pub fn name(&self) -> &str {
        self.path_with_namespace.or(&self.name)
    }

    pub fn url(&self) -> &str {
        self.web_url.or(&self.homepage)
    }

    /// The address of a page of the project; empty if the project's address is unknown.
    pub fn page(&self, path: &str) -> String {
        match self.url().trim_end_matches('/') {
            "" => String::new(),
            url => format!("{url}/-/{path}"),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Commit<'a> {
    pub id: Text<'a>,
    pub title: Text<'a>,
    pub message: Text<'a>,
    pub url: Text<'a>,
    pub author: Object<User<'a>>,
    /// The paths that it changes.
    pub added: Field<Vec<Text<'a>>>,
    pub modified: Field<Vec<Text<'a>>>,
    pub removed: Field<Vec<Text<'a>>>,
}

impl Commit<'_> {
    pub fn title(&self) -> &str {
        let first = self.message.trim().lines().next().unwrap_or_default();
        self.title.or(first)
    }

    pub fn short_id(&self) -> &str {
        short(&self.id)
    }
}

/// The short form of a commit's id.
pub fn short(id: &str) -> &str {
    &id[..id.floor_char_boundary(8)]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Label<'a> {
    pub title: Text<'a>,
}

/// What changed, as far as updates are reported.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Changes<'a> {
    pub reviewers: Object<Change<List<User<'a>>>>,
    pub assignees: Object<Change<List<User<'a>>>>,
    pub draft: Object<Change<Field<bool>>>,
    pub labels: Object<Change<List<Label<'a>>>>,
    pub milestone_id: Object<Change<Field<i64>>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Change<T: Default> {
    pub previous: T,
    pub current: T,
}

/// An issue, a merge request and so on that the event mentions but is not about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Noteable<'a> {
    pub id: Field<i64>,
    pub iid: Field<i64>,
    pub title: Text<'a>,
    pub url: Text<'a>,
    pub confidential: Field<bool>,
    pub author_id: Field<i64>,
    pub labels: List<Label<'a>>,
    /// For a pipeline's merge request.
    pub source_branch: Text<'a>,
    pub source_project_id: Field<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Group<'a> {
    pub id: Field<i64>,
    pub full_path: Text<'a>,
    /// The full path, in GitLab's data of a mention.
    pub name: Text<'a>,
    pub url: Text<'a>,
    pub web_url: Text<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Job<'a> {
    pub id: Field<i64>,
    pub stage: Text<'a>,
    pub name: Text<'a>,
    pub status: Text<'a>,
    pub allow_failure: Field<bool>,
}

/// The location of a vulnerability.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Location<'a> {
    pub file: Text<'a>,
    pub start_line: Field<i64>,
    pub dependency: Object<Dependency<'a>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Dependency<'a> {
    pub package: Object<Package<'a>>,
    pub version: Text<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Package<'a> {
    pub name: Text<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Identifier<'a> {
    pub name: Text<'a>,
    pub url: Text<'a>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Integration<'a> {
    pub alias: Text<'a>,
}
