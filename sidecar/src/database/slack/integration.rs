//! The integrations of a workspace.

use std::collections::HashSet;

use super::SlackDatabase;
use super::by_alias::{Alias, ByAlias};
use super::connected::{Integration, Which};
use crate::error::Error;
use crate::slack::Tenant;

/// Bytes of an alias that is looked for together with others. GitLab allows 4,096 characters; few have a quarter of that, and others
/// wait for the whole batch.
const LONGEST_ALIAS: usize = 1024;

impl SlackDatabase {
    /// A workspace's integrations, by alias.
    pub(crate) async fn integrations(
        &self,
        tenant: Tenant<'_>,
        which: Which<'_>,
        most: i32,
    ) -> Result<Vec<Integration>, Error> {
        let (search, id) = match which {
            Which::All => (None, None),
            Which::Alias(alias) => {
                let found = self.integration_by_alias(tenant, alias).await?;
                return Ok(found.into_iter().collect());
            }
            Which::Like(text) => (Some(text), None),
            Which::Id(id) => (None, Some(id)),
        };
        let statement = "
            select slack_integration_id, alias, owner, path, active, events, scopes, has_token, has_trouble, has_followers
              from lockstep_api.list_slack_integrations($1, $2, null, $3, $4, $5, $6)";
        let rows = self
            .ask(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &search,
                    &id,
                    &most,
                    &self.schema,
                ],
            )
            .await?;
        rows.iter().map(Integration::read).collect()
    }

    async fn integration_by_alias(
        &self,
        tenant: Tenant<'_>,
        alias: &str,
    ) -> Result<Option<Integration>, Error> {
        let wanted = Alias {
            team: tenant.team.to_owned(),
            enterprise: tenant.enterprise.map(str::to_owned),
            alias: alias.to_owned(),
        };
        if alias.len() <= LONGEST_ALIAS
            && let Some(found) = self.by_alias.answer(wanted.clone()).await
        {
            return found;
        }
        let by_alias = ByAlias::new(&self.pool, &self.schema);
        Box::pin(by_alias.alone(wanted)).await
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
