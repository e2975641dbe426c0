//! The objects in an event.

use crate::field::{Field, List, Object, Text};
use serde::Deserialize;

/// Who did it, or is assigned.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct User<'a> {
    pub id: Field<i64>,
    pub name: Text<'a>,
    pub username: Text<'a>,
    /// A reviewer who has just been asked again.
    pub re_requested: Field<bool>,
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
    /// For a comment.
    pub internal: Field<bool>,
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

/// A merge request that waits for a review.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Waiting<'a> {
    /// The path of its project.
    pub path_with_namespace: Text<'a>,
    pub iid: Field<i64>,
    pub title: Text<'a>,
    pub reviewers: List<User<'a>>,
}
