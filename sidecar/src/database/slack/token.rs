//! Tokens: the app's own in a workspace, and refresh tokens.

use std::time::{Duration, SystemTime};

use tokio_postgres::Row;

use super::SlackDatabase;
use crate::error::Error;
use crate::slack::Tenant;
use crate::token::Sealed;

/// The app's bot user in a workspace.
#[derive(Clone, Debug)]
pub(crate) struct Bot {
    pub(crate) team: String,
    pub(crate) token: Sealed,
    pub(crate) expires_at: Option<SystemTime>,
}

/// A token that we have claimed for a refresh.
#[derive(Clone, Debug)]
pub(crate) struct Refresh {
    pub(crate) team: String,
    pub(crate) token: Sealed,
    pub(crate) lease: i64,
}

/// The stored tokens of one workspace.
#[derive(Clone, Debug)]
pub(crate) struct StoredTokens {
    pub(crate) team: String,
    /// None if it was removed.
    pub(crate) token: Option<Sealed>,
    pub(crate) refresh: Option<Sealed>,
}

impl SlackDatabase {
    pub(crate) async fn bot(&self, tenant: Tenant<'_>) -> Result<Option<Bot>, Error> {
        let statement = "select team_id, token, token_iv, expires_at from lockstep_api.slack_bot($1, $2, $3) where token is not null";
        let rows = self
            .ask(statement, &[&tenant.team, &tenant.enterprise, &self.schema])
            .await?;
        let bot = |row: &Row| {
            Ok(Bot {
                team: row.try_get(0)?,
                token: sealed(row, 1)?,
                expires_at: row.try_get(3)?,
            })
        };
        rows.first().map(bot).transpose()
    }

    /// A token that expires within that time; nobody else refreshes it during the lease.
    pub(crate) async fn claim_refresh(
        &self,
        before: Duration,
        lease: Duration,
    ) -> Result<Option<Refresh>, Error> {
        let statement = "
            select team_id, refresh_token, refresh_token_iv, lease
              from lockstep_api.claim_slack_token_refresh(
                pg_catalog.make_interval(secs => $1), pg_catalog.make_interval(secs => $2), $3)";
        let rows = self
            .ask(
                statement,
                &[&before.as_secs_f64(), &lease.as_secs_f64(), &self.schema],
            )
            .await?;
        let refresh = |row: &Row| {
            Ok(Refresh {
                team: row.try_get(0)?,
                token: sealed(row, 1)?,
                lease: row.try_get(3)?,
            })
        };
        rows.first().map(refresh).transpose()
    }

    /// False if somebody else holds the lease by now, or the app was uninstalled.
    pub(crate) async fn store_refreshed(
        &self,
        claimed: &Refresh,
        token: &Sealed,
        refresh: &Sealed,
        expires_at: SystemTime,
    ) -> Result<bool, Error> {
        let statement = "select lockstep_api.store_slack_token($1, $2, $3, $4, $5, $6, $7, $8)";
        self.value(
            statement,
            &[
                &claimed.team,
                &claimed.lease,
                &token.bytes,
                &token.nonce,
                &refresh.bytes,
                &refresh.nonce,
                &expires_at,
                &self.schema,
            ],
        )
        .await
    }

    pub(crate) async fn give_back_refresh(
        &self,
        claimed: &Refresh,
        error: &str,
        retry_after: Duration,
    ) -> Result<bool, Error> {
        let statement = "
            select lockstep_api.give_back_slack_token_refresh($1, $2, $3, pg_catalog.make_interval(secs => $4), $5)";
        self.value(
            statement,
            &[
                &claimed.team,
                &claimed.lease,
                &error,
                &retry_after.as_secs_f64(),
                &self.schema,
            ],
        )
        .await
    }

    /// The existing tokens, by workspace, after the given one.
    pub(crate) async fn tokens_after(
        &self,
        team: &str,
        most: i32,
    ) -> Result<Vec<StoredTokens>, Error> {
        let statement = "
            select team_id, token is not null, coalesce(token, ''), coalesce(token_iv, ''), refresh_token is not null, coalesce(refresh_token, ''), coalesce(refresh_token_iv, '')
              from lockstep_api.list_slack_tokens($1, $2, $3)";
        let rows = self.ask(statement, &[&team, &most, &self.schema]).await?;
        let tokens = |row: &Row| {
            Ok(StoredTokens {
                team: row.try_get(0)?,
                token: match row.try_get(1)? {
                    true => Some(sealed(row, 2)?),
                    false => None,
                },
                refresh: match row.try_get(4)? {
                    true => Some(sealed(row, 5)?),
                    false => None,
                },
            })
        };
        rows.iter().map(tokens).collect()
    }

    /// Re-encrypts the tokens; false if they have been replaced since they were read.
    pub(crate) async fn replace_tokens(
        &self,
        old: &StoredTokens,
        new: &StoredTokens,
    ) -> Result<bool, Error> {
        let statement = "select lockstep_api.replace_slack_token($1, $2, $3, $4, $5, $6, $7, $8)";
        let (token, refresh) = (new.token.as_ref(), new.refresh.as_ref());
        self.value(
            statement,
            &[
                &old.team,
                &old.token.as_ref().map(|token| &token.nonce),
                &token.map(|token| &token.bytes),
                &token.map(|token| &token.nonce),
                &old.refresh.as_ref().map(|token| &token.nonce),
                &refresh.map(|token| &token.bytes),
                &refresh.map(|token| &token.nonce),
                &self.schema,
            ],
        )
        .await
    }
}

/// Ciphertext and nonce, in two adjacent columns.
pub(super) fn sealed(row: &Row, column: usize) -> Result<Sealed, Error> {
    Ok(Sealed {
        bytes: row.try_get(column)?,
        nonce: row.try_get(column + 1)?,
    })
}
