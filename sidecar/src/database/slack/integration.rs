//! The integrations of a workspace.

use std::collections::HashSet;

use tokio_postgres::Row;

use super::SlackDatabase;
use crate::database::argument::Arguments;
use crate::error::Error;
use crate::slack::Tenant;

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

impl SlackDatabase {
    /// A workspace's integrations, by alias.
    pub(crate) async fn integrations(
        &self,
        tenant: Tenant<'_>,
        which: Which<'_>,
        most: i32,
    ) -> Result<Vec<Integration>, Error> {
        let (alias, search, id) = match which {
            Which::All => (None, None, None),
            Which::Alias(alias) => (Some(alias), None, None),
            Which::Like(text) => (None, Some(text), None),
            Which::Id(id) => (None, None, Some(id)),
        };
        let statement = "
            select slack_integration_id, alias, owner, path, active, events, scopes, has_token, has_trouble, has_followers
              from lockstep_api.list_slack_integrations($1, $2, $3, $4, $5, $6, $7)";
        let arguments: Arguments<'_> = &[
            &tenant.team,
            &tenant.enterprise,
            &alias,
            &search,
            &id,
            &most,
            &self.schema,
        ];
        let rows = match which {
            Which::Alias(_) | Which::Id(_) => self.read(statement, arguments).await?,
            // A workspace may have thousands, which hold up others in the shared session.
            Which::All | Which::Like(_) => self.ask(statement, arguments).await?,
        };
        let integration = |row: &Row| {
            Ok(Integration {
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
        };
        rows.iter().map(integration).collect()
    }

    /// Those that a user of the workspace manages.
    pub(crate) async fn managed(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        integrations: &[Integration],
        is_manager: bool,
    ) -> Result<HashSet<i64>, Error> {
        let statement = "select lockstep_api.managed_slack_integrations($1, $2, $3, $4, $5, $6)";
        let ids: Vec<i64> = integrations.iter().map(|it| it.id).collect();
        let managed: Vec<i64> = self
            .value(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &user,
                    &ids,
                    &is_manager,
                    &self.schema,
                ],
            )
            .await?;
        Ok(managed.into_iter().collect())
    }

    /// Returns the alias, and whether anything changed.
    pub(crate) async fn set_active(
        &self,
        tenant: Tenant<'_>,
        integration: i64,
        user: &str,
        is_active: bool,
        is_manager: bool,
    ) -> Result<(String, bool), Error> {
        let statement = "
            select alias, changed from lockstep_api.set_slack_integration_active($1, $2, $3, $4, $5, $6, $7)";
        let row = self
            .ask_one(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &integration,
                    &user,
                    &is_active,
                    &is_manager,
                    &self.schema,
                ],
            )
            .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
