//! Refreshing expiring tokens in time, each by one session.

use crate::error::{OrRaise, Result, SlackError, check_finite, check_positive, required};
use crate::held;
use crate::slack_workspace::host::{Tables, lock};
use crate::slack_workspace::identical::{Writing, best, check_refresh_token, check_token, spread};
use lockstep_server::host::{NOW, differ, qualified};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, datum, nullable, random_bytes};
use pgrx::datum::Interval;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeMap;

struct Own {
    claim: OwnStatement,
    store: OwnStatement,
    is_stored: OwnStatement,
    give_back: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        claim: OwnStatement::new(
            "with it as materialized (
               select i.team_id from lockstep_internal.slack_installation i
                where i.schema = $1 and i.encrypted_refresh_token is not null and i.expires_at <= clock_timestamp() + $2
                  and (i.leased_until is null or i.leased_until <= clock_timestamp())
                order by i.expires_at, i.team_id limit 1 for update skip locked)
             update lockstep_internal.slack_installation i set lease = $4, leased_until = clock_timestamp() + $3
               from it where i.schema = $1 and i.team_id = it.team_id
             returning i.team_id, i.encrypted_refresh_token, i.encrypted_refresh_token_iv, i.lease, i.expires_at",
            &[
                pg_sys::TEXTOID,
                pg_sys::INTERVALOID,
                pg_sys::INTERVALOID,
                pg_sys::INT8OID,
            ],
        ),
        store: OwnStatement::new(
            "update lockstep_internal.slack_installation
                set encrypted_bot_access_token = $4, encrypted_bot_access_token_iv = $5, encrypted_refresh_token = $6,
                    encrypted_refresh_token_iv = $7, expires_at = $8, refreshed_at = clock_timestamp(), refresh_error = null,
                    lease = null, leased_until = null
              where schema = $1 and team_id = $2 and lease = $3",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::TIMESTAMPTZOID,
            ],
        ),
        is_stored: OwnStatement::new(
            "select from lockstep_internal.slack_installation
              where schema = $1 and team_id = $2 and encrypted_bot_access_token = $3 and encrypted_bot_access_token_iv = $4",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
            ],
        ),
        give_back: OwnStatement::new(
            "update lockstep_internal.slack_installation
                set refresh_error = $4, lease = null, leased_until = clock_timestamp() + $5
              where schema = $1 and team_id = $2 and lease = $3",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::INTERVALOID,
            ],
        ),
    };
}

type Claimed = (
    String,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    i64,
    Option<TimestampWithTimeZone>,
);

/// Claims the installation whose token expires first.
#[pg_extern(sql = r#"
create function lockstep_api.claim_slack_token_refresh(before interval, lease_for interval, schema text default 'public')
returns table (team_id text, refresh_token bytea, refresh_token_iv bytea, lease bigint, expires_at timestamptz)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.claim_slack_token_refresh(interval, interval, text) is
  'claims the installation whose token expires first, if it expires within the given time, has a refresh token and is not claimed';
revoke execute on function lockstep_api.claim_slack_token_refresh(interval, interval, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn claim_slack_token_refresh(
    before: Option<Interval>,
    lease_for: Option<Interval>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(team_id, String),
        name!(refresh_token, Option<Vec<u8>>),
        name!(refresh_token_iv, Option<Vec<u8>>),
        name!(lease, i64),
        name!(expires_at, Option<TimestampWithTimeZone>),
    ),
> {
    let before = required(before, "before");
    let lease_for = required(lease_for, "lease_for");
    let schema = required(schema, "schema");
    TableIterator::new(claim(before, lease_for, schema).or_raise())
}

fn claim(before: Interval, lease_for: Interval, schema: &str) -> Result<Option<Claimed>> {
    check_positive(&lease_for, "lease_for")?;
    Tables::attached(schema)?;
    if held::is_of_another()? {
        return Ok(None);
    }
    // Random, so that a lease of a removed installation never equals one of its successor.
    let lease = random_bytes::<8>().ok_or(SlackError::NoChance)?;
    let lease = i64::from_le_bytes(lease) & i64::MAX;
    let arguments = [datum(schema), datum(before), datum(lease_for), datum(lease)];
    let mut claimed = None;
    STATEMENTS.with(|statements| {
        statements.claim.rows(&arguments, |row| {
            claimed = Some((
                row.get(1).unwrap_or_default(),
                row.get(2),
                row.get(3),
                row.get(4).unwrap_or_default(),
                row.get(5),
            ));
        })
    })?;
    Ok(claimed)
}

/// Stores a refreshed token.
#[pg_extern(sql = r#"
create function lockstep_api.store_slack_token(team_id text, lease bigint, token bytea, token_iv bytea, refresh_token bytea, refresh_token_iv bytea,
  expires_at timestamptz, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.store_slack_token(text, bigint, bytea, bytea, bytea, bytea, timestamptz, text) is
  'stores a refreshed token in the installation and in all rows of the team; false if another session has claimed it or it is gone';
revoke execute on function lockstep_api.store_slack_token(text, bigint, bytea, bytea, bytea, bytea, timestamptz, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn store_slack_token(
    team_id: Option<&str>,
    lease: Option<i64>,
    token: Option<&[u8]>,
    token_iv: Option<&[u8]>,
    refresh_token: Option<&[u8]>,
    refresh_token_iv: Option<&[u8]>,
    expires_at: Option<TimestampWithTimeZone>,
    schema: Option<&str>,
) -> bool {
    let team = required(team_id, "team_id");
    let lease = required(lease, "lease");
    let token = (required(token, "token"), required(token_iv, "token_iv"));
    let schema = required(schema, "schema");
    let store = || -> Result<bool> {
        check_token(token.0, token.1)?;
        check_refresh_token(refresh_token, refresh_token_iv)?;
        if let Some(expires_at) = &expires_at {
            check_finite(expires_at, "expires_at")?;
        }
        let tables = Tables::attached(schema)?;
        lock::teams(tables.slack.oid, [team]);
        let [new, iv] = [token.0, token.1].map(datum);
        let [of_schema, of_team] = [schema, team].map(datum);
        let arguments = [
            Some(of_schema),
            Some(of_team),
            Some(datum(lease)),
            Some(new),
            Some(iv),
            nullable(refresh_token),
            nullable(refresh_token_iv),
            nullable(expires_at),
        ];
        STATEMENTS.with(|statements| {
            if statements.store.run_with_nulls(&arguments)? == 0 {
                // The same call again, as after a lost connection.
                return Ok(statements.is_stored.run(&[of_schema, of_team, new, iv])? > 0);
            }
            write_rows(&tables, team, token);
            Ok(true)
        })
    };
    store().or_raise()
}

/// Gives all rows of a locked team another token.
pub(super) fn write_rows(tables: &Tables, team: &str, (token, iv): (&[u8], &[u8])) {
    let s = tables.slack.qualified_name();
    let differs = [
        differ("s.encrypted_bot_access_token", "$2"),
        differ("s.encrypted_bot_access_token_iv", "$3"),
    ]
    .join(" or ");
    let write = Statement::new(
        &qualified(&format!(
            "update {s} s set encrypted_bot_access_token = $2, encrypted_bot_access_token_iv = $3, updated_at = {NOW}
              where s.id == $1 and s.team_id == $4 and ({differs})"
        )),
        &[
            pg_sys::INT8OID,
            pg_sys::BYTEAOID,
            pg_sys::BYTEAOID,
            pg_sys::TEXTOID,
        ],
    );
    tables.as_owner(|| {
        let _writing = Writing::begin(tables.slack.oid, vec![team.to_owned()]);
        // The best row stands for all: if rows have drifted, the others follow it in everything else as well.
        let best: BTreeMap<String, i64> = best(tables, vec![team.to_owned()], &[]);
        for row in best.values() {
            write.run(&[datum(*row), datum(token), datum(iv), datum(team)]);
        }
        spread(tables, &best);
    });
}

/// Returns a claim without a token.
#[pg_extern(sql = r#"
create function lockstep_api.give_back_slack_token_refresh(team_id text, lease bigint, error text, retry_after interval, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.give_back_slack_token_refresh(text, bigint, text, interval, text) is
  'records why a token could not be refreshed, and allows the next try after the given time; false if another session has claimed it or it is gone';
revoke execute on function lockstep_api.give_back_slack_token_refresh(text, bigint, text, interval, text) from public;
"#)]
fn give_back_slack_token_refresh(
    team_id: Option<&str>,
    lease: Option<i64>,
    error: Option<&str>,
    retry_after: Option<Interval>,
    schema: Option<&str>,
) -> bool {
    let team = required(team_id, "team_id");
    let lease = required(lease, "lease");
    let error = required(error, "error");
    let retry_after = required(retry_after, "retry_after");
    let schema = required(schema, "schema");
    let give_back = || -> Result<bool> {
        check_positive(&retry_after, "retry_after")?;
        Tables::attached(schema)?;
        let arguments = [
            datum(schema),
            datum(team),
            datum(lease),
            datum(error),
            datum(retry_after),
        ];
        Ok(STATEMENTS.with(|statements| statements.give_back.run(&arguments))? > 0)
    };
    give_back().or_raise()
}
