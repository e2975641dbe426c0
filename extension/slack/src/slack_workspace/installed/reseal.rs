//! Re-encrypting all tokens, a page of workspaces at a time.

use super::token::write_rows;
use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::host::{Tables, check_max_rows, lock};
use crate::slack_workspace::identical::{best, check_refresh_token, check_token};
use lockstep_server::host::qualified;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, View, datum, nullable};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::BTreeMap;

struct Own {
    list: OwnStatement,
    replace: OwnStatement,
    has_token: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        list: OwnStatement::new(
            "select team_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, encrypted_refresh_token, encrypted_refresh_token_iv
               from lockstep_internal.slack_installation where schema = $1 and team_id > $2 collate \"C\"
              order by team_id collate \"C\" limit $3",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT4OID],
        ),
        replace: OwnStatement::new(
            "update lockstep_internal.slack_installation
                set encrypted_bot_access_token = $4, encrypted_bot_access_token_iv = $5, encrypted_refresh_token = $7,
                    encrypted_refresh_token_iv = $8
              where schema = $1 and team_id = $2 and encrypted_bot_access_token_iv = $3
                and encrypted_refresh_token_iv is not distinct from $6",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
                pg_sys::BYTEAOID,
            ],
        ),
        has_token: OwnStatement::new(
            "select from lockstep_internal.slack_installation
              where schema = $1 and team_id = $2 and (encrypted_bot_access_token is not null or encrypted_refresh_token is not null)",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
    };
}

type Tokens = (
    String,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
);

/// Tokens by team, to be re-encrypted.
#[pg_extern(sql = r#"
create function lockstep_api.list_slack_tokens(after text, max_rows integer, schema text default 'public')
returns table (team_id text, token bytea, token_iv bytea, refresh_token bytea, refresh_token_iv bytea)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.list_slack_tokens(text, integer, text) is
  'the encrypted tokens of Slack workspaces by team, those after a team; of the installation, else of the rows of Slack integrations';
revoke execute on function lockstep_api.list_slack_tokens(text, integer, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn list_slack_tokens(
    after: Option<&str>,
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(team_id, String),
        name!(token, Option<Vec<u8>>),
        name!(token_iv, Option<Vec<u8>>),
        name!(refresh_token, Option<Vec<u8>>),
        name!(refresh_token_iv, Option<Vec<u8>>),
    ),
> {
    let after = required(after, "after");
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    TableIterator::new(list(after, max_rows, schema).or_raise())
}

fn list(after: &str, max_rows: i32, schema: &str) -> Result<Vec<Tokens>> {
    check_max_rows(max_rows)?;
    let tables = Tables::attached(schema)?;
    let of_rows = Statement::new(
        &qualified(&format!(
            "select distinct on (s.team_id::pg_catalog.text collate \"C\") s.team_id::pg_catalog.text, s.encrypted_bot_access_token,
                    s.encrypted_bot_access_token_iv
               from {} s
              where s.encrypted_bot_access_token is not null and (s.team_id::pg_catalog.text collate \"C\") operator(pg_catalog.>) $1
              order by s.team_id::pg_catalog.text collate \"C\", s.updated_at desc, s.id desc limit $2",
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID, pg_sys::INT4OID],
    );
    let mut teams: BTreeMap<String, Tokens> = BTreeMap::new();
    tables.as_owner(|| {
        of_rows.rows(View::Newest, &[datum(after), datum(max_rows)], |row| {
            let team: String = row.get(1).unwrap_or_default();
            teams.insert(team.clone(), (team, row.get(2), row.get(3), None, None));
        });
    });
    STATEMENTS.with(|statements| {
        let arguments = [datum(schema), datum(after), datum(max_rows)];
        statements.list.rows(&arguments, |row| {
            let team: String = row.get(1).unwrap_or_default();
            let of_team = teams.entry(team.clone()).or_default();
            of_team.0 = team;
            // An installation without a token uses the one in the rows, if there is one.
            if let Some(token) = row.get::<Vec<u8>>(2) {
                (of_team.1, of_team.2) = (Some(token), row.get(3));
            }
            (of_team.3, of_team.4) = (row.get(4), row.get(5));
        })
    })?;
    let most = usize::try_from(max_rows).unwrap_or_default();
    Ok(teams.into_values().take(most).collect())
}

/// Stores the same token encrypted with another key.
#[pg_extern(sql = r#"
create function lockstep_api.replace_slack_token(team_id text, old_iv bytea, token bytea, token_iv bytea, old_refresh_iv bytea, refresh_token bytea,
  refresh_token_iv bytea, schema text default 'public')
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.replace_slack_token(text, bytea, bytea, bytea, bytea, bytea, bytea, text) is
  'stores a Slack workspace''s tokens encrypted with another key, if the stored ones are unchanged; expiry and lease stay';
revoke execute on function lockstep_api.replace_slack_token(text, bytea, bytea, bytea, bytea, bytea, bytea, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn replace_slack_token(
    team_id: Option<&str>,
    old_iv: Option<&[u8]>,
    token: Option<&[u8]>,
    token_iv: Option<&[u8]>,
    old_refresh_iv: Option<&[u8]>,
    refresh_token: Option<&[u8]>,
    refresh_token_iv: Option<&[u8]>,
    schema: Option<&str>,
) -> bool {
    let team = required(team_id, "team_id");
    let old_iv = required(old_iv, "old_iv");
    let token = (required(token, "token"), required(token_iv, "token_iv"));
    let schema = required(schema, "schema");
    let replace = || -> Result<bool> {
        check_token(token.0, token.1)?;
        check_refresh_token(refresh_token, refresh_token_iv)?;
        let tables = Tables::attached(schema)?;
        lock::teams(tables.slack.oid, [team]);
        let names = [datum(schema), datum(team)];
        let arguments = [
            Some(names[0]),
            Some(names[1]),
            Some(datum(old_iv)),
            Some(datum(token.0)),
            Some(datum(token.1)),
            nullable(old_refresh_iv),
            nullable(refresh_token),
            nullable(refresh_token_iv),
        ];
        let is_replaced = STATEMENTS.with(|statements| -> Result<bool> {
            if statements.has_token.run(&names)? > 0 {
                return Ok(statements.replace.run_with_nulls(&arguments)? > 0);
            }
            Ok(old_refresh_iv.is_none() && has_iv(&tables, team, old_iv))
        })?;
        if is_replaced {
            write_rows(&tables, team, token);
        }
        Ok(is_replaced)
    };
    replace().or_raise()
}

/// Whether a team whose installation has no token has one with that IV in its rows.
fn has_iv(tables: &Tables, team: &str, iv: &[u8]) -> bool {
    let query = Statement::new(
        &qualified(&format!(
            "select 1 from {} s where s.id == $1 and s.encrypted_bot_access_token_iv == $2",
            tables.slack.qualified_name()
        )),
        &[pg_sys::INT8OID, pg_sys::BYTEAOID],
    );
    tables.as_owner(|| {
        let best = best(tables, vec![team.to_owned()], &[]);
        best.values()
            .any(|row| query.run_seeing(View::Newest, &[datum(*row), datum(iv)]) > 0)
    })
}
