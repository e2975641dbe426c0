//! What the Slack app asks of the database. All of it is granted to the role `lockstep_sidecar`.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::pool::{Arguments, Pool};
use crate::connection::Address;
use crate::error::Error;

/// Workspaces by both names that Slack has for them: that of the workspace, and that of the organization it is in, if any.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenant<'a> {
    pub(crate) team: &'a str,
    pub(crate) enterprise: Option<&'a str>,
}

/// A token as it is stored: ciphertext with its tag, and the nonce.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) nonce: Vec<u8>,
}

/// The app's user in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Bot {
    pub(crate) team: String,
    pub(crate) token: Sealed,
    pub(crate) expires_at: Option<SystemTime>,
}

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

/// An installation of the app.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) name: String,
    pub(crate) is_organization: bool,
    pub(crate) integrations: i64,
    pub(crate) active: i64,
    pub(crate) scopes: Vec<String>,
    pub(crate) has_token: bool,
    pub(crate) refresh_error: Option<String>,
}

/// What Slack answered to an installation, its tokens sealed.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    /// The workspace, or the organization if it is for all its workspaces.
    pub(crate) team: String,
    pub(crate) team_name: String,
    pub(crate) user: String,
    pub(crate) bot_user: String,
    pub(crate) token: Sealed,
    pub(crate) scopes: Vec<String>,
    pub(crate) enterprise: Option<String>,
    pub(crate) app: Option<String>,
    pub(crate) refresh: Option<Sealed>,
    pub(crate) expires_at: Option<SystemTime>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakenState {
    /// Ours, in time, from the same browser, for the first time.
    Valid,
    Unknown,
    Expired,
    OtherBrowser,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    Done,
    Queued,
    Duplicate,
    Ignored,
}

/// A token that is ours to refresh.
#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub(crate) team: String,
    pub(crate) token: Sealed,
    pub(crate) lease: i64,
}

/// The tokens of one workspace, as they are stored.
#[derive(Clone, Debug)]
pub(crate) struct StoredTokens {
    pub(crate) team: String,
    pub(crate) token: Sealed,
    pub(crate) refresh: Option<Sealed>,
}

/// An event that Slack tells of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewEvent<'a> {
    pub(crate) id: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) tenant: Tenant<'a>,
    pub(crate) at: SystemTime,
    pub(crate) args: &'a Value,
}

#[derive(Clone)]
pub(crate) struct SlackDatabase {
    pool: Pool,
    schema: String,
}

/// The version of the extension, where the program finds it.
pub(crate) const NO_EXTENSION: &str = "";

impl SlackDatabase {
    pub(crate) fn new(address: &Address, schema: &str, sessions: usize) -> Result<Self, Error> {
        Ok(Self {
            pool: Pool::new(address, sessions)?,
            schema: schema.to_owned(),
        })
    }

    /// The version of the extension in the database; empty if it is not there.
    pub(crate) async fn extension_version(&self) -> Result<String, Error> {
        let statement = "select extversion from pg_catalog.pg_extension where extname = 'lockstep'";
        let rows = self.ask(statement, &[]).await?;
        match rows.first() {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(NO_EXTENSION.to_owned()),
        }
    }

    /// Of the functions that are called here, those that this role may not call, or that are missing.
    pub(crate) async fn functions_out_of_reach(&self) -> Result<Vec<String>, Error> {
        let statement = "
            select wanted.name
              from pg_catalog.unnest($1) wanted (name)
              left join pg_catalog.pg_proc p on p.proname = wanted.name
               and p.pronamespace = pg_catalog.to_regnamespace('lockstep')
             where p.oid is null or not pg_catalog.has_function_privilege(p.oid, 'execute')
             order by 1";
        let rows = self
            .ask(statement, &[(&FUNCTIONS.as_slice(), Type::TEXT_ARRAY)])
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    pub(crate) async fn begin_install(
        &self,
        state: &[u8],
        browser: &[u8],
        ticket: Option<&str>,
        valid_for: Duration,
    ) -> Result<Option<String>, Error> {
        let statement = "select lockstep.begin_slack_install($1, $2, $3, pg_catalog.make_interval(secs => $4), $5)";
        let row = self
            .ask_one(
                statement,
                &[
                    (&state, Type::BYTEA),
                    (&browser, Type::BYTEA),
                    (&ticket, Type::TEXT),
                    (&valid_for.as_secs_f64(), Type::FLOAT8),
                    (&self.schema, Type::TEXT),
                ],
            )
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn take_install(
        &self,
        state: &[u8],
        browser: &[u8],
    ) -> Result<TakenState, Error> {
        let statement = "select lockstep.take_slack_install($1, $2, $3)";
        let arguments: Arguments = &[
            (&state, Type::BYTEA),
            (&browser, Type::BYTEA),
            (&self.schema, Type::TEXT),
        ];
        let row = self.ask_one(statement, arguments).await?;
        Ok(match row.try_get(0)? {
            "ok" => TakenState::Valid,
            "expired" => TakenState::Expired,
            "other_browser" => TakenState::OtherBrowser,
            _ => TakenState::Unknown,
        })
    }

    /// Answers the alias, if the installation is for a project, group or instance.
    pub(crate) async fn finish_install(
        &self,
        state: &[u8],
        install: &Install,
    ) -> Result<Option<String>, Error> {
        let statement = "
            select alias from lockstep.finish_slack_install(
              state => $1, team_id => $2, team_name => $3, user_id => $4, bot_user_id => $5, token => $6, token_iv => $7,
              scopes => $8, enterprise_id => $9, app_id => $10, refresh_token => $11, refresh_token_iv => $12,
              expires_at => $13, schema => $14)";
        let refresh = install.refresh.as_ref();
        let row = self
            .ask_one(
                statement,
                &[
                    (&state, Type::BYTEA),
                    (&install.team, Type::TEXT),
                    (&install.team_name, Type::TEXT),
                    (&install.user, Type::TEXT),
                    (&install.bot_user, Type::TEXT),
                    (&install.token.bytes, Type::BYTEA),
                    (&install.token.nonce, Type::BYTEA),
                    (&install.scopes, Type::TEXT_ARRAY),
                    (&install.enterprise, Type::TEXT),
                    (&install.app, Type::TEXT),
                    (&refresh.map(|token| &token.bytes), Type::BYTEA),
                    (&refresh.map(|token| &token.nonce), Type::BYTEA),
                    (&install.expires_at, Type::TIMESTAMPTZ),
                    (&self.schema, Type::TEXT),
                ],
            )
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn receive_event(&self, event: NewEvent<'_>) -> Result<Received, Error> {
        let statement = "select lockstep.receive_slack_event($1, $2, $3, $4, $5, $6, $7)";
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
        let statement = "select lockstep.enqueue_slack_job($1, $2, $3, $4)";
        let arguments: Arguments = &[
            (&worker, Type::TEXT),
            (args, Type::JSONB),
            (&unique_key, Type::TEXT),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }

    pub(crate) async fn bot(&self, tenant: Tenant<'_>) -> Result<Option<Bot>, Error> {
        let statement =
            "select team_id, token, token_iv, expires_at from lockstep.slack_bot($1, $2, $3)";
        let arguments: Arguments = &[
            (&tenant.team, Type::TEXT),
            (&tenant.enterprise, Type::TEXT),
            (&self.schema, Type::TEXT),
        ];
        let rows = self.ask(statement, arguments).await?;
        let bot = |row: &Row| {
            Ok(Bot {
                team: row.try_get(0)?,
                token: sealed(row, 1)?,
                expires_at: row.try_get(3)?,
            })
        };
        rows.first().map(bot).transpose()
    }

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
            select slack_integration_id, alias, owner, path, active, events, scopes, has_token, user_id
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

    pub(crate) async fn workspaces(&self, most: i32) -> Result<Vec<Workspace>, Error> {
        let statement = "
            select team_name, is_org, integrations, active, scopes, has_token, refresh_error
              from lockstep.list_slack_workspaces($1, $2)";
        let arguments: Arguments = &[(&most, Type::INT4), (&self.schema, Type::TEXT)];
        let rows = self.ask(statement, arguments).await?;
        let workspace = |row: &Row| {
            Ok(Workspace {
                name: row.try_get(0)?,
                is_organization: row.try_get(1)?,
                integrations: row.try_get(2)?,
                active: row.try_get(3)?,
                scopes: row.try_get(4)?,
                has_token: row.try_get(5)?,
                refresh_error: row.try_get(6)?,
            })
        };
        rows.iter().map(workspace).collect()
    }

    /// A token that expires within that time, which nobody else refreshes as long as the lease lasts.
    pub(crate) async fn claim_refresh(
        &self,
        before: Duration,
        lease: Duration,
    ) -> Result<Option<Refresh>, Error> {
        let statement = "
            select team_id, refresh_token, refresh_token_iv, lease
              from lockstep.claim_slack_token_refresh(
                pg_catalog.make_interval(secs => $1), pg_catalog.make_interval(secs => $2), $3)";
        let arguments: Arguments = &[
            (&before.as_secs_f64(), Type::FLOAT8),
            (&lease.as_secs_f64(), Type::FLOAT8),
            (&self.schema, Type::TEXT),
        ];
        let rows = self.ask(statement, arguments).await?;
        let refresh = |row: &Row| {
            Ok(Refresh {
                team: row.try_get(0)?,
                token: sealed(row, 1)?,
                lease: row.try_get(3)?,
            })
        };
        rows.first().map(refresh).transpose()
    }

    /// False if the lease is another's by now, or the app was uninstalled.
    pub(crate) async fn store_refreshed(
        &self,
        claimed: &Refresh,
        token: &Sealed,
        refresh: &Sealed,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let statement = "select lockstep.store_slack_token($1, $2, $3, $4, $5, $6, $7, $8)";
        let arguments: Arguments = &[
            (&claimed.team, Type::TEXT),
            (&claimed.lease, Type::INT8),
            (&token.bytes, Type::BYTEA),
            (&token.nonce, Type::BYTEA),
            (&refresh.bytes, Type::BYTEA),
            (&refresh.nonce, Type::BYTEA),
            (&expires_at, Type::TIMESTAMPTZ),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }

    pub(crate) async fn give_back_refresh(
        &self,
        claimed: &Refresh,
        error: &str,
        retry_after: Duration,
    ) -> Result<bool, Error> {
        let statement = "
            select lockstep.give_back_slack_token_refresh($1, $2, $3, pg_catalog.make_interval(secs => $4), $5)";
        let arguments: Arguments = &[
            (&claimed.team, Type::TEXT),
            (&claimed.lease, Type::INT8),
            (&error, Type::TEXT),
            (&retry_after.as_secs_f64(), Type::FLOAT8),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }

    /// The tokens there are, by workspace, after that one.
    pub(crate) async fn tokens_after(
        &self,
        team: &str,
        most: i32,
    ) -> Result<Vec<StoredTokens>, Error> {
        let statement = "
            select team_id, token, token_iv, refresh_token is not null, coalesce(refresh_token, ''), coalesce(refresh_token_iv, '')
              from lockstep.list_slack_tokens($1, $2, $3)";
        let arguments: Arguments = &[
            (&team, Type::TEXT),
            (&most, Type::INT4),
            (&self.schema, Type::TEXT),
        ];
        let rows = self.ask(statement, arguments).await?;
        let tokens = |row: &Row| {
            Ok(StoredTokens {
                team: row.try_get(0)?,
                token: sealed(row, 1)?,
                refresh: match row.try_get(3)? {
                    true => Some(sealed(row, 4)?),
                    false => None,
                },
            })
        };
        rows.iter().map(tokens).collect()
    }

    /// The same tokens in other bytes; false if they have been replaced by others since they were read.
    pub(crate) async fn replace_tokens(
        &self,
        old: &StoredTokens,
        new: &StoredTokens,
    ) -> Result<bool, Error> {
        let statement = "select lockstep.replace_slack_token($1, $2, $3, $4, $5, $6, $7, $8)";
        let refresh = new.refresh.as_ref();
        let arguments: Arguments = &[
            (&old.team, Type::TEXT),
            (&old.token.nonce, Type::BYTEA),
            (&new.token.bytes, Type::BYTEA),
            (&new.token.nonce, Type::BYTEA),
            (&old.refresh.as_ref().map(|token| &token.nonce), Type::BYTEA),
            (&refresh.map(|token| &token.bytes), Type::BYTEA),
            (&refresh.map(|token| &token.nonce), Type::BYTEA),
            (&self.schema, Type::TEXT),
        ];
        Ok(self.ask_one(statement, arguments).await?.try_get(0)?)
    }

    /// Removes what nobody will ask for any more.
    pub(crate) async fn sweep(&self) -> Result<i64, Error> {
        let statement = "select lockstep.sweep_slack($1)";
        let row = self
            .ask_one(statement, &[(&self.schema, Type::TEXT)])
            .await?;
        Ok(row.try_get(0)?)
    }

    async fn ask(&self, statement: &str, arguments: Arguments<'_>) -> Result<Vec<Row>, Error> {
        self.pool.ask(statement, arguments).await
    }

    async fn ask_one(&self, statement: &str, arguments: Arguments<'_>) -> Result<Row, Error> {
        let rows = self.ask(statement, arguments).await?;
        rows.into_iter().next().ok_or(Error::Silent)
    }
}

/// Bytes and nonce, in two columns side by side.
fn sealed(row: &Row, column: usize) -> Result<Sealed, Error> {
    Ok(Sealed {
        bytes: row.try_get(column)?,
        nonce: row.try_get(column + 1)?,
    })
}

/// All functions that `serve` calls.
const FUNCTIONS: [&str; 23] = [
    "begin_slack_install",
    "claim_jobs",
    "claim_slack_token_refresh",
    "complete_jobs",
    "enqueue_slack_job",
    "fail_job",
    "finish_slack_install",
    "give_back_slack_token_refresh",
    "list_slack_integrations",
    "list_slack_tokens",
    "list_slack_workspaces",
    "receive_slack_event",
    "release_jobs",
    "release_other_jobs",
    "replace_slack_token",
    "runner_heartbeat",
    "set_slack_integration_active",
    "slack_bot",
    "start_runner",
    "stop_runner",
    "store_slack_token",
    "sweep_slack",
    "take_slack_install",
];
