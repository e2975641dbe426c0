//! Installations of the app.

use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use super::SlackDatabase;
use crate::error::Error;
use crate::token::Sealed;

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

/// What a ticket was issued for.
#[derive(Clone, Debug)]
pub(crate) struct TicketOwner {
    pub(crate) path: String,
    /// The name of the workspace that it is connected to now.
    pub(crate) workspace: Option<String>,
}

/// Slack's response to an installation, with its tokens encrypted.
#[derive(Clone, Debug)]
pub(crate) struct Install {
    /// The workspace, or the organization if it is installed for all its workspaces.
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
    /// Issued by us, still valid, from the same browser, used for the first time.
    Valid,
    Unknown,
    Expired,
    OtherBrowser,
}

impl SlackDatabase {
    /// A project by its full path.
    pub(crate) async fn project_id(&self, path: &str) -> Result<Option<i64>, Error> {
        let statement = "select lockstep.project_id($1, $2)";
        self.value(statement, &[&path, &self.schema]).await
    }

    /// A ticket, good once, to install the app for a project.
    pub(crate) async fn issue_ticket(
        &self,
        project: i64,
        alias: Option<&str>,
        valid_for: Duration,
    ) -> Result<String, Error> {
        let statement = "
            select lockstep.issue_slack_install_ticket(
                     project_id => $1, alias => $2, valid_for => pg_catalog.make_interval(secs => $3), schema => $4)";
        self.value(
            statement,
            &[&project, &alias, &valid_for.as_secs_f64(), &self.schema],
        )
        .await
    }

    pub(crate) async fn begin_install(
        &self,
        state: &[u8],
        browser: &[u8],
        ticket: Option<&str>,
        valid_for: Duration,
    ) -> Result<Option<TicketOwner>, Error> {
        let statement = "select owner, workspace from lockstep_api.begin_slack_install($1, $2, $3, pg_catalog.make_interval(secs => $4), $5)";
        let row = self
            .ask_one(
                statement,
                &[
                    &state,
                    &browser,
                    &ticket,
                    &valid_for.as_secs_f64(),
                    &self.schema,
                ],
            )
            .await?;
        let (path, workspace): (Option<String>, _) = (row.try_get(0)?, row.try_get(1)?);
        Ok(path.map(|path| TicketOwner { path, workspace }))
    }

    pub(crate) async fn take_install(
        &self,
        state: &[u8],
        browser: &[u8],
    ) -> Result<TakenState, Error> {
        let statement = "select lockstep_api.take_slack_install($1, $2, $3)";
        let row = self
            .ask_one(statement, &[&state, &browser, &self.schema])
            .await?;
        Ok(match row.try_get(0)? {
            "ok" => TakenState::Valid,
            "expired" => TakenState::Expired,
            "other_browser" => TakenState::OtherBrowser,
            _ => TakenState::Unknown,
        })
    }

    /// Returns the alias, if the installation is for a project, group or instance, and the name of the workspace that it replaces there. Without a ticket, a workspace that does not have the
    /// app is refused (28000) unless it may be new.
    pub(crate) async fn finish_install(
        &self,
        state: &[u8],
        install: &Install,
        may_be_new: bool,
    ) -> Result<(Option<String>, Option<String>), Error> {
        let statement = "
            select alias, replaced from lockstep_api.finish_slack_install(
              state => $1, team_id => $2, team_name => $3, user_id => $4, bot_user_id => $5, token => $6, token_iv => $7,
              scopes => $8, enterprise_id => $9, app_id => $10, refresh_token => $11, refresh_token_iv => $12,
              expires_at => $13, may_be_new => $14, schema => $15)";
        let refresh = install.refresh.as_ref();
        let row = self
            .ask_one(
                statement,
                &[
                    &state,
                    &install.team,
                    &install.team_name,
                    &install.user,
                    &install.bot_user,
                    &install.token.bytes,
                    &install.token.nonce,
                    &install.scopes,
                    &install.enterprise,
                    &install.app,
                    &refresh.map(|token| &token.bytes),
                    &refresh.map(|token| &token.nonce),
                    &install.expires_at,
                    &may_be_new,
                    &self.schema,
                ],
            )
            .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    pub(crate) async fn workspaces(&self, most: i32) -> Result<Vec<Workspace>, Error> {
        let statement = "
            select team_name, is_org, integrations, active, scopes, has_token, refresh_error
              from lockstep.list_slack_workspaces($1, $2)";
        let rows = self.ask(statement, &[&most, &self.schema]).await?;
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
}
