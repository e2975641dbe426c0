//! What is connected to a workspace.

use tokio_postgres::Row;

use crate::error::Error;

/// A project, group or instance that is connected to a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Integration {
    pub(crate) id: i64,
    pub(crate) alias: String,
    /// `project`, `group` or `instance`.
    pub(crate) owner: String,
    pub(crate) path: Option<String>,
    pub(crate) is_active: bool,
    /// The events it notifies of, by the application's column names without `_events`.
    pub(crate) events: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) has_token: bool,
    /// Whether one of its channels could not be reached.
    pub(crate) has_trouble: bool,
    /// Whether channels follow its project; of a group, whether any project is followed.
    pub(crate) has_followers: bool,
}

/// An event that integrations can notify of.
pub(crate) struct Event {
    pub(crate) name: &'static str,
    /// The application's column, without `_events`; empty if it has no switch for it.
    pub(crate) column: &'static str,
    /// The user-visible name.
    pub(crate) words: &'static str,
}

macro_rules! events {
    ($($name:literal $column:literal $words:literal;)*) => {
        pub(crate) const EVENTS: &[Event] = &[$(Event { name: $name, column: $column, words: $words }),*];
    };
}

events! {
    "push" "push" "pushes";
    "tag_push" "tag_push" "tags";
    "issue" "issues" "issues";
    "confidential_issue" "confidential_issues" "confidential issues";
    "incident" "incident" "incidents";
    "merge_request" "merge_requests" "merge requests";
    "note" "note" "comments";
    "confidential_note" "confidential_note" "confidential comments";
    "pipeline" "pipeline" "pipelines";
    "wiki_page" "wiki_page" "wiki pages";
    "deployment" "deployment" "deployments";
    "alert" "alert" "alerts";
    "vulnerability" "vulnerability" "vulnerabilities";
    "group_mention" "group_mention" "mentions of the group";
    "group_confidential_mention" "group_confidential_mention" "confidential mentions of the group";
    "job" "" "failed jobs";
    "release" "" "releases";
    "milestone" "" "milestones";
    "feature_flag" "" "feature flags";
    "emoji" "" "emoji";
}

impl Integration {
    pub(super) fn read(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.try_get(0)?,
            alias: row.try_get(1)?,
            owner: row.try_get(2)?,
            path: row.try_get(3)?,
            is_active: row.try_get(4)?,
            events: row.try_get(5)?,
            scopes: row.try_get(6)?,
            has_token: row.try_get(7)?,
            has_trouble: row.try_get(8)?,
            has_followers: row.try_get(9)?,
        })
    }

    /// The user-visible names of the events it notifies of. Other events mean nothing to this app.
    pub(crate) fn known_events(&self) -> Vec<&'static str> {
        let has = |column: &str| self.events.iter().any(|event| event == column);
        let known = EVENTS.iter().filter(|event| has(event.column));
        known.map(|event| event.words).collect()
    }
}

/// Which integrations to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    Alias(&'a str),
    /// Those whose alias contains that text.
    Like(&'a str),
    Id(i64),
}
