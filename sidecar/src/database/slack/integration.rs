//! What a workspace is connected with.

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::{Arguments, SlackDatabase, Tenant};
use crate::error::Error;

/// A project, group or instance that a workspace is connected with.
#[derive(Clone, Debug)]
pub(crate) struct Integration {
    pub(crate) id: i64,
    pub(crate) alias: String,
    /// `project`, `group` or `instance`.
    pub(crate) owner: String,
    pub(crate) path: Option<String>,
    pub(crate) is_active: bool,
    /// What it notifies of, as the host's columns are called, without `_events`.
    pub(crate) events: Vec<String>,
    pub(crate) scopes: Vec<String>,
    pub(crate) has_token: bool,
    /// Who installed the app.
    pub(crate) user: String,
    /// Whether a channel of it was not to be reached.
    pub(crate) has_trouble: bool,
}

/// Of which integrations is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Which<'a> {
    All,
    Alias(&'a str),
    /// Whose alias contains that text.
    Like(&'a str),
    Id(i64),
}

impl SlackDatabase {
    /// Those of a workspace, by alias.
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
            select slack_integration_id, alias, owner, path, active, events, scopes, has_token, user_id, has_trouble
              from lockstep.list_slack_integrations($1, $2, $3, $4, $5, $6, $7)";
        let arguments: Arguments = &[
            (&tenant.team, Type::TEXT),
            (&tenant.enterprise, Type::TEXT),
            (&alias, Type::TEXT),
            (&search, Type::TEXT),
            (&id, Type::INT8),
            (&most, Type::INT4),
            (&self.schema, Type::TEXT),
        ];
        let rows = self.ask(statement, arguments).await?;
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
                user: row.try_get(8)?,
                has_trouble: row.try_get(9)?,
            })
        };
        rows.iter().map(integration).collect()
    }

    /// Answers the alias, and whether that changed anything.
    pub(crate) async fn set_active(
        &self,
        tenant: Tenant<'_>,
        integration: i64,
        user: &str,
        is_active: bool,
        is_manager: bool,
    ) -> Result<(String, bool), Error> {
        let statement = "
            select alias, changed from lockstep.set_slack_integration_active($1, $2, $3, $4, $5, $6, $7)";
        let arguments: Arguments = &[
            (&tenant.team, Type::TEXT),
            (&tenant.enterprise, Type::TEXT),
            (&integration, Type::INT8),
            (&user, Type::TEXT),
            (&is_active, Type::BOOL),
            (&is_manager, Type::BOOL),
            (&self.schema, Type::TEXT),
        ];
        let row = self.ask_one(statement, arguments).await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }
}
