//! Channels of a workspace that follow projects.

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
    /// `subscribed`, `changed`, `unchanged` or `unsubscribed`, else why not.
    pub(crate) outcome: String,
}

impl Answered {
    fn of(row: &Row, events: &[String]) -> Result<Self, Error> {
        Ok(Self {
            path: row
                .try_get::<_, Option<String>>("path")?
                .unwrap_or_default(),
            channel: row
                .try_get::<_, Option<String>>("channel")?
                .unwrap_or_default(),
            events: words_of(events),
            outcome: row.try_get("outcome")?,
        })
    }
}

impl SlackDatabase {
    /// Subscribes a channel to a project for a user. Without events they stay as they are, which is the default at first; no event is
    /// the default again.
    pub(crate) async fn subscribe(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        project: &str,
        channel: &str,
        events: Option<&[&str]>,
    ) -> Result<Answered, Error> {
        let statement = "
            select path, channel, events, outcome from lockstep_api.subscribe_slack_project($1, $2, $3, $4, $5, $6, $7)";
        let row = self
            .ask_one(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &user,
                    &project,
                    &channel,
                    &events,
                    &self.schema,
                ],
            )
            .await?;
        let events: Option<Vec<String>> = row.try_get("events")?;
        Answered::of(&row, &events.unwrap_or_default())
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
        Answered::of(&row, &[])
    }

    /// What a workspace's channels follow.
    pub(crate) async fn subscriptions(
        &self,
        tenant: Tenant<'_>,
        most: i32,
    ) -> Result<Vec<Subscription>, Error> {
        let statement = "
            select path, channel, events, state, error, needed from lockstep_api.list_slack_subscriptions($1, $2, $3, $4)";
        let rows = self
            .read(
                statement,
                &[&tenant.team, &tenant.enterprise, &most, &self.schema],
            )
            .await?;
        let subscription = |row: &Row| {
            Ok(Subscription {
                path: row.try_get(0)?,
                channel: row.try_get(1)?,
                events: row.try_get(2)?,
                state: row.try_get(3)?,
                error: row.try_get(4)?,
                needed: row.try_get(5)?,
            })
        };
        rows.iter().map(subscription).collect()
    }
}
