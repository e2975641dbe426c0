//! The application's tables for Slack workspaces, found in one schema. Columns that older versions lack are optional.

use crate::error::{HostError, Result, ServerError};
use lockstep_server::host::{self, Relation};
use lockstep_server::{Rights, as_owner, connected};
use pgrx::pg_sys::Oid;

pub(crate) const SLACK: &str = "slack_integrations";
pub(crate) const LINKS: &str = "slack_integrations_scopes";
pub(super) const SCOPES: &str = "slack_api_scopes";
pub(super) const OWNERS: [&str; 3] = ["project_id", "group_id", "organization_id"];

/// The required columns of each table.
const COLUMNS: [(&str, &[&str]); 6] = [
    (
        SLACK,
        &[
            "id",
            "team_id",
            "team_name",
            "alias",
            "user_id",
            "created_at",
            "updated_at",
            "bot_user_id",
            "encrypted_bot_access_token",
            "encrypted_bot_access_token_iv",
            "integration_id",
        ],
    ),
    (LINKS, &["slack_integration_id", "slack_api_scope_id"]),
    (SCOPES, &["id", "name"]),
    (
        "integrations",
        &[
            "id",
            "project_id",
            "group_id",
            "type_new",
            "category",
            "active",
            "created_at",
            "updated_at",
        ],
    ),
    ("projects", &["id", "path", "namespace_id"]),
    ("namespaces", &["id", "path", "traversal_ids"]),
];

/// The tables that were found.
pub(crate) struct Host {
    pub(crate) schema: String,
    pub(crate) slack: Relation,
    pub(crate) links: Relation,
    pub(crate) scopes: Relation,
    pub(crate) integrations: Relation,
    pub(crate) projects: Relation,
    pub(crate) namespaces: Relation,
    pub(crate) organizations: Option<Relation>,
    owner: Rights,
}

impl Host {
    pub(crate) fn find(schema: &str) -> Result<Self> {
        let mut tables = Vec::new();
        for (name, columns) in COLUMNS {
            let table =
                Relation::find_table(schema, name)?.ok_or_else(|| HostError::HostTableMissing {
                    schema: schema.to_owned(),
                    name,
                })?;
            host::watch(Oid::from(table.oid));
            for column in columns {
                table.column(column)?;
            }
            tables.push(table);
        }
        let organizations = Relation::find_table(schema, "organizations")?;
        // One statement reads several of them, as one role.
        host::check_have_one_owner(&tables.iter().chain(&organizations).collect::<Vec<_>>())?;
        let tables: [Relation; 6] = tables.try_into().map_err(|_| ServerError::Catalog {
            message: "a table of the application is missing".to_owned(),
        })?;
        let [slack, links, scopes, integrations, projects, namespaces] = tables;
        Ok(Self {
            schema: schema.to_owned(),
            owner: slack.rights(),
            slack,
            links,
            scopes,
            integrations,
            projects,
            namespaces,
            organizations,
        })
    }

    /// Runs `work` with the rights of the tables' owner.
    pub(crate) fn as_owner<R>(&self, work: impl FnOnce() -> R) -> R {
        as_owner(&self.owner, || connected(work))
    }

    /// The owner columns that both tables of Slack integrations have.
    pub(crate) fn owner_columns(table: &Relation) -> Vec<&'static str> {
        let there = |name: &&str| table.find_column(name).is_some();
        OWNERS.into_iter().filter(there).collect()
    }

    /// Whether each scope belongs to an organization.
    pub(super) fn scopes_have_organization(&self) -> bool {
        self.scopes.find_column("organization_id").is_some()
    }
}
