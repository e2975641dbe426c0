//! What the host's webhooks send, as far as it decides who is told of it.

use super::field::{Anything, Field, Part};
use serde::Deserialize;
use std::borrow::Cow;

type Text<'a> = Field<Cow<'a, str>>;
pub(super) type Labels<'a> = Field<Vec<Field<Part<Label<'a>>>>>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Payload<'a> {
    #[serde(borrow)]
    pub(super) object_kind: Text<'a>,
    #[serde(borrow)]
    pub(super) event_type: Text<'a>,
    #[serde(borrow, rename = "ref")]
    pub(super) reference: Text<'a>,
    pub(super) ref_protected: Field<bool>,
    #[serde(borrow)]
    pub(super) user: Field<Part<User<'a>>>,
    pub(super) user_id: Field<i64>,
    #[serde(borrow)]
    pub(super) user_username: Text<'a>,
    pub(super) project_id: Field<i64>,
    #[serde(borrow)]
    pub(super) project: Field<Part<Project<'a>>>,
    #[serde(borrow)]
    pub(super) object_attributes: Field<Part<Attributes<'a>>>,
    #[serde(borrow)]
    pub(super) labels: Labels<'a>,
    #[serde(borrow)]
    pub(super) issue: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) work_item: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) merge_request: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) epic: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) vulnerability: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) snippet: Field<Part<Noteable<'a>>>,
    #[serde(borrow)]
    pub(super) wiki_page: Field<Part<Noteable<'a>>>,
    pub(super) changes: Field<Part<Changes>>,
    #[serde(borrow)]
    pub(super) mentioned: Field<Part<Group<'a>>>,
    #[serde(borrow)]
    pub(super) group: Field<Part<Group<'a>>>,
    pub(super) group_id: Field<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct User<'a> {
    pub(super) id: Field<i64>,
    #[serde(borrow)]
    pub(super) username: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Project<'a> {
    pub(super) id: Field<i64>,
    #[serde(borrow)]
    pub(super) default_branch: Text<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attributes<'a> {
    pub(super) id: Field<i64>,
    pub(super) project_id: Field<i64>,
    #[serde(borrow)]
    pub(super) action: Text<'a>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) work_item_type: Text<'a>,
    pub(super) confidential: Field<bool>,
    pub(super) internal: Field<bool>,
    #[serde(borrow)]
    pub(super) status: Text<'a>,
    #[serde(borrow, rename = "ref")]
    pub(super) reference: Text<'a>,
    pub(super) tag: Field<bool>,
    #[serde(borrow)]
    pub(super) finished_at: Text<'a>,
    pub(super) protected_ref: Field<bool>,
    #[serde(borrow)]
    pub(super) labels: Labels<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Label<'a> {
    #[serde(borrow)]
    pub(super) title: Text<'a>,
}

/// What a note is of, or what mentions a group.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Noteable<'a> {
    pub(super) confidential: Field<bool>,
    #[serde(borrow)]
    pub(super) labels: Labels<'a>,
}

/// What changed, as far as anybody is told of an update.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Changes {
    pub(super) reviewers: Field<Anything>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group<'a> {
    pub(super) id: Field<i64>,
    #[serde(borrow)]
    pub(super) full_path: Text<'a>,
    /// The full path, as the host's own data of a mention have it.
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}
