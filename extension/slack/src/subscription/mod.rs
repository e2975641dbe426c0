//! Which channels of which workspaces follow a project: the rows, and the record of each change. A project's integration has one
//! workspace, as in GitLab; everybody else who wants to follow the project subscribes a channel.

mod read;
mod statements;
mod write;

use lockstep_server::Answer;
use pgrx::prelude::*;

pub(crate) use read::{
    count, find, followed, followers, following, has_any, list, of_projects, of_team, projects,
    teams, troubled, unreached,
};
pub(crate) use write::{
    end_troubles, lock, note_troubles, remove, remove_of_projects, remove_of_team, write,
};

/// A channel that follows a project.
pub(crate) struct Subscription {
    pub(crate) id: i64,
    pub(crate) project: i64,
    pub(crate) team: String,
    pub(crate) channel: String,
    /// By name; empty for the default.
    pub(crate) events: Vec<String>,
    /// As they are stored.
    pub(crate) routes: String,
    pub(crate) by: Option<Subscriber>,
    pub(crate) since: Option<TimestampWithTimeZone>,
    pub(crate) trouble: Option<Trouble>,
}

/// A Slack user, and the workspace in which the account is linked: the app may be installed for its whole organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subscriber {
    pub(crate) workspace: String,
    pub(crate) user: String,
}

/// Why Slack does not take messages for the channel.
pub(crate) struct Trouble {
    pub(crate) error: String,
    pub(crate) needed: Option<String>,
    pub(crate) failures: i64,
    pub(crate) since: Option<TimestampWithTimeZone>,
    pub(crate) last_at: Option<TimestampWithTimeZone>,
}

/// Which channel of which workspace follows which project.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) schema: &'a str,
    pub(crate) project: i64,
    pub(crate) team: &'a str,
    pub(crate) channel: &'a str,
}

/// Which events a channel is to get. What is None stays as it is, and is the default of a new subscription.
#[derive(Clone, Default)]
pub(crate) struct Choice {
    pub(crate) events: Option<Vec<String>>,
    /// As they are stored.
    pub(crate) routes: Option<String>,
}

/// What a request to subscribe did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Subscribed,
    Changed,
    Unchanged,
}

impl Written {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Subscribed => "subscribed",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Subscription {
    /// Whether a user of that workspace subscribed it.
    pub(crate) fn is_of_workspace(&self, workspace: &str) -> bool {
        self.by.as_ref().is_some_and(|by| by.workspace == workspace)
    }

    fn read(row: &Answer) -> Self {
        let by = row.get(6).zip(row.get(7));
        let trouble = |error| Trouble {
            error,
            needed: row.get(10),
            failures: row.get(11).unwrap_or_default(),
            since: row.get(12),
            last_at: row.get(13),
        };
        Self {
            id: row.get(1).unwrap_or_default(),
            project: row.get(2).unwrap_or_default(),
            team: row.get(3).unwrap_or_default(),
            channel: row.get(4).unwrap_or_default(),
            events: row.get(5).unwrap_or_default(),
            by: by.map(|(workspace, user)| Subscriber { workspace, user }),
            routes: row.get(14).unwrap_or_default(),
            since: row.get(8),
            trouble: row.get(9).map(trouble),
        }
    }
}
