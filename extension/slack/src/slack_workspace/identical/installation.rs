//! A workspace's installation itself, which has no row in the application: its tokens, including the refresh token.

use super::kept::scopes_described;
use super::scopes::Instead;
use crate::error::{Result, SlackError, check_finite};
use crate::slack_workspace::host::Tables;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, View, datum, keys_argument, nullable};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

struct Own {
    follow: OwnStatement,
    record: OwnStatement,
    remove: OwnStatement,
    installed_after: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        // Refresh token and expiry belonged to the previous token.
        follow: OwnStatement::new(
            "update lockstep_internal.slack_installation i
                set encrypted_bot_access_token = $3, encrypted_bot_access_token_iv = $4, user_id = $5, bot_user_id = $6,
                    scopes = coalesce($7, i.scopes),
                    encrypted_refresh_token = case when t.is_same then i.encrypted_refresh_token end,
                    encrypted_refresh_token_iv = case when t.is_same then i.encrypted_refresh_token_iv end,
                    expires_at = case when t.is_same then i.expires_at end,
                    installed_at = case when t.is_same then i.installed_at else clock_timestamp() end,
                    lease = case when t.is_same then i.lease end,
                    leased_until = case when t.is_same then i.leased_until end,
                    refresh_error = case when t.is_same then i.refresh_error end
               from lockstep_internal.slack_installation o
              cross join lateral (
                select o.encrypted_bot_access_token is not distinct from $3 and o.encrypted_bot_access_token_iv is not distinct from $4)
                t (is_same)
              where o.schema = $1 and o.team_id = $2 and i.schema = o.schema and i.team_id = o.team_id
                and (not t.is_same or i.user_id is distinct from $5 or i.bot_user_id is distinct from $6 or i.scopes <> $7)",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
            ],
        ),
        record: OwnStatement::new(
            "insert into lockstep_internal.slack_installation as i
               (schema, team_id, team_name, enterprise_id, app_id, user_id, bot_user_id, scopes, encrypted_bot_access_token,
                encrypted_bot_access_token_iv, encrypted_refresh_token, encrypted_refresh_token_iv, expires_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
             on conflict (schema, team_id) do update
                set team_name = excluded.team_name, enterprise_id = excluded.enterprise_id, app_id = excluded.app_id,
                    user_id = excluded.user_id, bot_user_id = excluded.bot_user_id, scopes = excluded.scopes,
                    encrypted_bot_access_token = excluded.encrypted_bot_access_token,
                    encrypted_bot_access_token_iv = excluded.encrypted_bot_access_token_iv,
                    encrypted_refresh_token = excluded.encrypted_refresh_token,
                    encrypted_refresh_token_iv = excluded.encrypted_refresh_token_iv,
                    expires_at = excluded.expires_at, installed_at = clock_timestamp(), refreshed_at = null, refresh_error = null,
                    lease = null, leased_until = null
              where (i.team_name, i.enterprise_id, i.app_id, i.user_id, i.bot_user_id, i.scopes, i.encrypted_bot_access_token,
                     i.encrypted_bot_access_token_iv, i.encrypted_refresh_token, i.encrypted_refresh_token_iv, i.expires_at)
                    is distinct from
                    (excluded.team_name, excluded.enterprise_id, excluded.app_id, excluded.user_id, excluded.bot_user_id,
                     excluded.scopes, excluded.encrypted_bot_access_token, excluded.encrypted_bot_access_token_iv,
                     excluded.encrypted_refresh_token, excluded.encrypted_refresh_token_iv, excluded.expires_at)",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TIMESTAMPTZOID,
            ],
        ),
        remove: OwnStatement::new(
            "delete from lockstep_internal.slack_installation where schema = $1 and team_id = $2",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
        installed_after: OwnStatement::new(
            "select from lockstep_internal.slack_installation
              where schema = $1 and team_id = $2 and installed_at > $3 + interval '1 second'",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TIMESTAMPTZOID,
            ],
        ),
    };
}

/// Slack's response to an installation.
pub(crate) struct Installation<'a> {
    pub(crate) team_id: &'a str,
    pub(crate) team_name: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) bot_user_id: &'a str,
    pub(crate) token: &'a [u8],
    pub(crate) token_iv: &'a [u8],
    /// In alphabetical order, without duplicates.
    pub(crate) scopes: Vec<String>,
    pub(crate) enterprise_id: Option<&'a str>,
    pub(crate) app_id: Option<&'a str>,
    pub(crate) refresh_token: Option<&'a [u8]>,
    pub(crate) refresh_token_iv: Option<&'a [u8]>,
    pub(crate) expires_at: Option<TimestampWithTimeZone>,
}

/// The limit of the application's columns and of indexes.
const LONGEST_ID: usize = 255;

impl Installation<'_> {
    /// Rejects what a constraint would reject, because the constraint's error would show the whole row with its tokens.
    pub(crate) fn check(&self) -> Result<()> {
        check_token(self.token, self.token_iv)?;
        check_refresh_token(self.refresh_token, self.refresh_token_iv)?;
        if let Some(expires_at) = &self.expires_at {
            check_finite(expires_at, "expires_at")?;
        }
        for (name, value) in [("user_id", self.user_id), ("bot_user_id", self.bot_user_id)] {
            if value.is_empty() {
                return Err(SlackError::Empty { name }.into());
            }
        }
        for (name, value) in [("team_id", self.team_id), ("bot_user_id", self.bot_user_id)] {
            if value.chars().count() > LONGEST_ID {
                let most = LONGEST_ID;
                return Err(SlackError::TooLong { name, most }.into());
            }
        }
        Ok(())
    }

    /// Stores it in place of the previous one. If nothing changed, nothing is written.
    pub(crate) fn record(&self, schema: &str) -> Result<()> {
        let arguments = [
            Some(datum(schema)),
            Some(datum(self.team_id)),
            Some(datum(self.team_name)),
            nullable(self.enterprise_id),
            nullable(self.app_id),
            Some(datum(self.user_id)),
            Some(datum(self.bot_user_id)),
            Some(datum(self.scopes.clone())),
            Some(datum(self.token)),
            Some(datum(self.token_iv)),
            nullable(self.refresh_token),
            nullable(self.refresh_token_iv),
            nullable(self.expires_at),
        ];
        STATEMENTS.with(|statements| statements.record.run_with_nulls(&arguments))?;
        Ok(())
    }
}

pub(crate) fn check_token(token: &[u8], iv: &[u8]) -> Result<()> {
    match (token.is_empty(), iv.is_empty()) {
        (true, _) => Err(SlackError::Empty { name: "token" }.into()),
        (_, true) => Err(SlackError::Empty { name: "token_iv" }.into()),
        _ => Ok(()),
    }
}

/// Both parts or neither.
pub(crate) fn check_refresh_token(token: Option<&[u8]>, iv: Option<&[u8]>) -> Result<()> {
    let is_there = |part: Option<&[u8]>| part.is_some_and(|part| !part.is_empty());
    match (is_there(token), is_there(iv)) {
        (true, false) => Err(SlackError::Empty {
            name: "refresh_token_iv",
        }
        .into()),
        (false, true) => Err(SlackError::Empty {
            name: "refresh_token",
        }
        .into()),
        _ => Ok(()),
    }
}

/// Updates the installations of teams from the winning rows, which somebody else has written. A row without a token that moved to
/// a team does not change the installation.
pub(super) fn follow(
    tables: &Tables,
    winners: &BTreeMap<String, i64>,
    scopes: &Instead,
    carried: &BTreeSet<String>,
) -> Result<()> {
    if winners.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = winners.values().copied().collect();
    let mut all = Vec::new();
    tables.as_owner(|| {
        let arguments = [keys_argument(&ids)];
        let describe = &tables.statements.describe;
        describe.rows(View::Newest, &arguments, |row| {
            let team = row.get::<String>(1).unwrap_or_default();
            let token = row.get::<Vec<u8>>(2);
            if token.is_some() || carried.contains(&team) {
                all.push([
                    Some(datum(tables.schema.as_str())),
                    Some(datum(team)),
                    nullable(token),
                    nullable(row.get::<Vec<u8>>(3)),
                    nullable(row.get::<String>(4)),
                    nullable(row.get::<String>(5)),
                    // Unchanged, if the winner does not have its scopes yet.
                    match row.get::<i64>(8).is_some_and(|id| scopes.contains_key(&id)) {
                        true => None,
                        false => Some(datum(scopes_described(row))),
                    },
                ]);
            }
        });
        for arguments in &all {
            STATEMENTS.with(|statements| statements.follow.run_newest_with_nulls(arguments))?;
        }
        Ok(())
    })
}

/// Removes the installation of a team with its tokens.
pub(crate) fn remove(schema: &str, team: &str) -> Result<()> {
    STATEMENTS.with(|statements| statements.remove.run(&[datum(schema), datum(team)]))?;
    Ok(())
}

/// Whether a team was installed more than a second after that time.
pub(crate) fn is_installed_after(
    schema: &str,
    team: &str,
    moment: TimestampWithTimeZone,
) -> Result<bool> {
    let arguments = [datum(schema), datum(team), datum(moment)];
    let found = STATEMENTS.with(|statements| statements.installed_after.run(&arguments))?;
    Ok(found > 0)
}
