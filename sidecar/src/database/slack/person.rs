//! How Slack users want to be notified of what is for them.

use serde_json::Value;

use super::SlackDatabase;
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
        self.value(
            statement,
            &[
                &tenant.team,
                &tenant.enterprise,
                &user,
                choices,
                &self.schema,
            ],
        )
        .await
    }
}
