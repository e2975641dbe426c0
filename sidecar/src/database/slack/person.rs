//! How Slack users want to be notified of what is for them.

use serde_json::Value;
use tokio_postgres::types::Type;

use super::SlackDatabase;
use crate::database::session::Arguments;
use crate::error::Error;
use crate::slack::Tenant;

impl SlackDatabase {
    /// Changes the given choices of a Slack user; returns all of them, and whether a GitLab account is linked.
    pub(crate) async fn set_person(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        choices: &Value,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.set_slack_person($1, $2, $3, $4, $5)";
        let arguments: Arguments = &[
            (&tenant.team, Type::TEXT),
            (&tenant.enterprise, Type::TEXT),
            (&user, Type::TEXT),
            (choices, Type::JSONB),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }
}
