//! Events from Slack, and jobs.

use std::time::SystemTime;

use serde_json::Value;

use super::SlackDatabase;
use crate::error::Error;
use crate::slack::Tenant;

/// The result of receiving an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Done,
    Queued,
    Duplicate,
    Ignored,
}

/// An event from Slack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) tenant: Tenant<'a>,
    pub(crate) at: SystemTime,
    pub(crate) args: &'a Value,
}

impl SlackDatabase {
    pub(crate) async fn receive_event(&self, event: NewEvent<'_>) -> Result<Received, Error> {
        let statement = "select lockstep_api.receive_slack_event($1, $2, $3, $4, $5, $6, $7)";
        let row = self
            .ask_one(
                statement,
                &[
                    &event.id,
                    &event.kind,
                    &event.tenant.team,
                    &event.tenant.enterprise,
                    &event.at,
                    event.args,
                    &self.schema,
                ],
            )
            .await?;
        Ok(match row.try_get(0)? {
            "done" => Received::Done,
            "queued" | "again" => Received::Queued,
            "duplicate" => Received::Duplicate,
            _ => Received::Ignored,
        })
    }

    pub(crate) async fn enqueue(
        &self,
        worker: &str,
        args: &Value,
        unique_key: Option<&str>,
    ) -> Result<i64, Error> {
        let statement = "select lockstep_api.enqueue_slack_job($1, $2, $3, $4)";
        self.value(statement, &[&worker, args, &unique_key, &self.schema])
            .await
    }

    /// Removes data that nobody needs any more.
    pub(crate) async fn sweep(&self) -> Result<i64, Error> {
        let statement = "select lockstep.sweep_slack($1)";
        self.value(statement, &[&self.schema]).await
    }
}
