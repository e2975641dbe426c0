//! The integrations of a workspace.

use std::collections::HashSet;

use super::SlackDatabase;
use super::connected::{Alias, Integration, Which};
use crate::error::Error;
use crate::slack::Tenant;

/// Bytes of an alias that is looked for together with others; the application's are shorter.
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
        if alias.len() <= LONGEST_ALIAS {
            let database = self.clone();
            let ask = move |wanted: Vec<Alias>| {
                let database = database.clone();
                async move { database.by_aliases(&wanted).await }
            };
            if let Some(found) = self.by_alias.answer(wanted.clone(), ask).await {
                return Ok(found);
            }
        }
        let found = Box::pin(self.by_aliases(&[wanted])).await?;
        Ok(found.into_iter().next().flatten())
    }

    /// What has each of these aliases.
    async fn by_aliases(&self, wanted: &[Alias]) -> Result<Vec<Option<Integration>>, Error> {
        let statement = "
            select slack_integration_id, alias, owner, path, active, events, scopes, has_token, has_trouble, has_followers, place
              from lockstep_api.slack_integrations_by_alias($1, $2, $3, $4)";
        let teams: Vec<&str> = wanted.iter().map(|it| &*it.team).collect();
        let enterprises: Vec<Option<&str>> =
            wanted.iter().map(|it| it.enterprise.as_deref()).collect();
        let aliases: Vec<&str> = wanted.iter().map(|it| &*it.alias).collect();
        let rows = self
            .ask(statement, &[&teams, &enterprises, &aliases, &self.schema])
            .await?;
        let mut found = vec![None; wanted.len()];
        for row in &rows {
            let place: i64 = row.try_get(10)?;
            let place = usize::try_from(place - 1).unwrap_or(usize::MAX);
            if let Some(found) = found.get_mut(place) {
                *found = Some(Integration::read(row)?);
            }
        }
        Ok(found)
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
