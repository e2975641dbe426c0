//! Which channels an integration notifies, and of what.

use serde_json::Value;
use tokio_postgres::Row;

use super::SlackDatabase;
use super::token::sealed;
use crate::error::Error;
use crate::slack::Tenant;
use crate::token::Sealed;

/// GitLab's encrypted properties of an integration.
#[derive(Clone, Debug)]
pub(crate) struct HostProperties {
    pub(crate) integration: i64,
    /// Without a nonce if GitLab has none: then no key decrypts it.
    pub(crate) sealed: Sealed,
    /// lockstep already has settings for it.
    pub(crate) has_settings: bool,
}

impl SlackDatabase {
    /// The app's integrations with encrypted properties, by id, after the given one.
    pub(crate) async fn host_properties(
        &self,
        after: i64,
        most: i32,
    ) -> Result<Vec<HostProperties>, Error> {
        let statement = "
            select integration_id, has_settings, coalesce(properties, ''), coalesce(iv, '')
              from lockstep.list_integration_properties($1, $2, $3)";
        let rows = self.ask(statement, &[&after, &most, &self.schema]).await?;
        let properties = |row: &Row| {
            Ok(HostProperties {
                integration: row.try_get(0)?,
                has_settings: row.try_get(1)?,
                sealed: sealed(row, 2)?,
            })
        };
        rows.iter().map(properties).collect()
    }

    /// All settings of an integration, including defaults.
    pub(crate) async fn notification_settings(
        &self,
        tenant: Tenant<'_>,
        slack_integration: i64,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.slack_workspace_notifications($1, $2, $3, $4)";
        self.value(
            statement,
            &[
                &tenant.team,
                &tenant.enterprise,
                &slack_integration,
                &self.schema,
            ],
        )
        .await
    }

    /// Changes settings for a Slack user; returns the alias. Routes and reminders only if they are still those of `version`.
    #[allow(clippy::too_many_arguments)]
    pub(crate) async fn set_integration_settings(
        &self,
        tenant: Tenant<'_>,
        slack_integration: i64,
        user: &str,
        is_manager: bool,
        settings: &Value,
        events: &Value,
        version: Option<&str>,
    ) -> Result<String, Error> {
        let statement = "
            select alias from lockstep_api.set_slack_integration_settings($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        self.value(
            statement,
            &[
                &tenant.team,
                &tenant.enterprise,
                &slack_integration,
                &user,
                &is_manager,
                settings,
                events,
                &version,
                &self.schema,
            ],
        )
        .await
    }

    /// Changes the given settings.
    pub(crate) async fn set_notifications(
        &self,
        integration: i64,
        settings: &Value,
    ) -> Result<(), Error> {
        let statement = "select lockstep.set_slack_notifications($1, $2, $3)";
        self.ask_one(statement, &[&integration, settings, &self.schema])
            .await?;
        Ok(())
    }
}
