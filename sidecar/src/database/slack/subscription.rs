//! Channels of a workspace that follow projects.

use serde_json::Value;
use tokio_postgres::Row;

use super::{EVENTS, SlackDatabase};
use crate::error::Error;
use crate::slack::Tenant;

/// A channel that follows a project.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    /// None if the project is gone.
    pub(crate) path: Option<String>,
    pub(crate) channel: String,
    /// By their names in settings.
    pub(crate) events: Vec<String>,
    /// The conditions that they must fulfil.
    pub(crate) routes: Value,
    /// `active`, or why nothing is sent.
    pub(crate) state: String,
    /// Slack's code of what keeps messages from the channel, and the scope that is missing.
    pub(crate) error: Option<String>,
    pub(crate) needed: Option<String>,
}

impl Subscription {
    /// The user-visible names of its events.
    pub(crate) fn known_events(&self) -> Vec<&'static str> {
        words_of(&self.events)
    }
}

/// What a channel is to get: these events, none for the default, if they fulfil the conditions.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Choice<'a> {
    pub(crate) events: Vec<&'a str>,
    pub(crate) routes: Value,
}

/// A channel of any workspace that follows a project, as those see it who manage the project.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    pub(crate) subscription: Subscription,
    pub(crate) team: String,
    /// None if the app is not installed there any more.
    pub(crate) team_name: Option<String>,
    /// The GitLab account of who subscribed; None if it was an administrator, or is not linked any more.
    pub(crate) username: Option<String>,
}

/// The user-visible names of events.
fn words_of(events: &[String]) -> Vec<&'static str> {
    let has = |name: &str| events.iter().any(|event| event == name);
    let known = EVENTS.iter().filter(|event| has(event.name));
    known.map(|event| event.words).collect()
}

/// What became of a request. If it was refused, only the outcome says so.
pub(crate) struct Answered {
    pub(crate) path: String,
    pub(crate) channel: String,
    /// The user-visible names of the events that the channel gets.
    pub(crate) events: Vec<&'static str>,
    /// The conditions that they must fulfil.
    pub(crate) routes: Value,
    /// `subscribed`, `changed`, `unchanged` or `unsubscribed`, else why not.
    pub(crate) outcome: String,
}

impl Answered {
    fn of(row: &Row, events: &[String], routes: Option<Value>) -> Result<Self, Error> {
        Ok(Self {
            path: row
                .try_get::<_, Option<String>>("path")?
                .unwrap_or_default(),
            channel: row
                .try_get::<_, Option<String>>("channel")?
                .unwrap_or_default(),
            events: words_of(events),
            routes: routes.unwrap_or_default(),
            outcome: row.try_get("outcome")?,
        })
    }
}

impl SlackDatabase {
    /// Subscribes a channel to a project for a user. Without a choice events and conditions stay as they are; no event is the default.
    pub(crate) async fn subscribe(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        project: &str,
        channel: &str,
        choice: Option<&Choice<'_>>,
    ) -> Result<Answered, Error> {
        let statement = "
            select path, channel, events, routes, outcome from lockstep_api.subscribe_slack_project($1, $2, $3, $4, $5, $6, $7, $8)";
        let row = self
            .ask_one(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &user,
                    &project,
                    &channel,
                    &choice.map(|it| it.events.as_slice()),
                    &choice.map(|it| &it.routes),
                    &self.schema,
                ],
            )
            .await?;
        let events: Option<Vec<String>> = row.try_get("events")?;
        let routes = row.try_get("routes")?;
        Answered::of(&row, &events.unwrap_or_default(), routes)
    }

    /// Ends a subscription for a user.
    pub(crate) async fn unsubscribe(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        project: &str,
        channel: &str,
        is_manager: bool,
    ) -> Result<Answered, Error> {
        let statement = "
            select path, channel, outcome from lockstep_api.unsubscribe_slack_project($1, $2, $3, $4, $5, $6, $7)";
        let row = self
            .ask_one(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &user,
                    &project,
                    &channel,
                    &is_manager,
                    &self.schema,
                ],
            )
            .await?;
        Answered::of(&row, &[], None)
    }

    /// What a workspace's channels follow.
    pub(crate) async fn subscriptions(
        &self,
        tenant: Tenant<'_>,
        most: i32,
    ) -> Result<Vec<Subscription>, Error> {
        let statement = "
            select path, channel, events, coalesce(routes, '[]'), state, error, needed from lockstep_api.list_slack_subscriptions($1, $2, $3, $4)";
        let rows = self
            .ask(
                statement,
                &[&tenant.team, &tenant.enterprise, &most, &self.schema],
            )
            .await?;
        let subscription = |row: &Row| {
            Ok(Subscription {
                path: row.try_get(0)?,
                channel: row.try_get(1)?,
                events: row.try_get(2)?,
                routes: row.try_get(3)?,
                state: row.try_get(4)?,
                error: row.try_get(5)?,
                needed: row.try_get(6)?,
            })
        };
        rows.iter().map(subscription).collect()
    }

    /// Who follows the project of an integration, or those of its group, for a user who manages it; for others, nobody.
    pub(crate) async fn followers(
        &self,
        tenant: Tenant<'_>,
        slack_integration: i64,
        user: &str,
        is_manager: bool,
        most: i32,
    ) -> Result<Vec<Follower>, Error> {
        let statement = "
            select path, channel, events, coalesce(routes, '[]'), state, team_id, team_name, username
              from lockstep_api.list_slack_followers($1, $2, $3, $4, $5, $6, $7)";
        let rows = self
            .ask(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &slack_integration,
                    &user,
                    &is_manager,
                    &most,
                    &self.schema,
                ],
            )
            .await?;
        let follower = |row: &Row| {
            Ok(Follower {
                subscription: Subscription {
                    path: row.try_get(0)?,
                    channel: row.try_get(1)?,
                    events: row.try_get(2)?,
                    routes: row.try_get(3)?,
                    state: row.try_get(4)?,
                    error: None,
                    needed: None,
                },
                team: row.try_get(5)?,
                team_name: row.try_get(6)?,
                username: row.try_get(7)?,
            })
        };
        rows.iter().map(follower).collect()
    }
}
