//! Events from Slack, and jobs.

use std::time::SystemTime;

use serde_json::Value;
use tokio_postgres::types::Type;

use super::SlackDatabase;
use crate::database::session::Arguments;
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
        let arguments: Arguments = &[
            (&event.id, Type::TEXT),
            (&event.kind, Type::TEXT),
            (&event.tenant.team, Type::TEXT),
            (&event.tenant.enterprise, Type::TEXT),
            (&event.at, Type::TIMESTAMPTZ),
            (event.args, Type::JSONB),
            (&self.schema, Type::TEXT),
        ];
        let row = self.ask_one(statement, arguments).await?;
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
        let arguments: Arguments = &[
            (&worker, Type::TEXT),
            (args, Type::JSONB),
            (&unique_key, Type::TEXT),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }

    /// Removes data that nobody needs any more.
    pub(crate) async fn sweep(&self) -> Result<i64, Error> {
        let statement = "select lockstep.sweep_slack($1)";
        let row = self
            .ask_one(statement, &[(&self.schema, Type::TEXT)])
            .await?;
        Ok(row.try_get(0)?)
    }
}
