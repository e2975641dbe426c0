//! What the sidecar needs to act as a workspace's bot, and the list of workspaces.

use crate::error::{OrRaise, Result, required};
use crate::slack_workspace::host::{Tables, check_max_rows, workspace};
use crate::slack_workspace::identical::{best, scopes_described};
use lockstep_server::host::qualified;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, View, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

struct Own {
    bot: OwnStatement,
    tokens: OwnStatement,
    workspaces: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        bot: OwnStatement::new(
            "select team_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv, scopes, expires_at, user_id
               from lockstep_internal.slack_installation where schema = $1 and team_id = $2",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
        tokens: OwnStatement::by_index(
            "select i.team_id, i.enterprise_id, i.encrypted_bot_access_token, i.encrypted_bot_access_token_iv
               from unnest($2) t (id) join lockstep_internal.slack_installation i on i.schema = $1 and i.team_id = t.id",
            &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
            &["schema"],
        ),
        workspaces: OwnStatement::new(
            "select team_id, team_name, scopes, encrypted_bot_access_token is not null, installed_at, expires_at, refresh_error
               from lockstep_internal.slack_installation where schema = $1",
            &[pg_sys::TEXTOID],
        ),
    };
}

type Bot = (
    String,
    Option<String>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Vec<String>,
    Option<TimestampWithTimeZone>,
    Option<String>,
);

/// The bot of a workspace.
#[pg_extern(sql = r#"
create function lockstep_api.slack_bot(team_id text, enterprise_id text, schema text default 'public')
returns table (team_id text, bot_user_id text, token bytea, token_iv bytea, scopes text[], expires_at timestamptz, user_id text)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.slack_bot(text, text, text) is
  'the bot of a Slack workspace with its encrypted token: of the installation, else of the rows of Slack integrations';
revoke execute on function lockstep_api.slack_bot(text, text, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn slack_bot(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(team_id, String),
        name!(bot_user_id, Option<String>),
        name!(token, Option<Vec<u8>>),
        name!(token_iv, Option<Vec<u8>>),
        name!(scopes, Vec<String>),
        name!(expires_at, Option<TimestampWithTimeZone>),
        name!(user_id, Option<String>),
    ),
> {
    let schema = required(schema, "schema");
    TableIterator::new(bot(team_id, enterprise_id, schema).or_raise())
}

fn bot(team: Option<&str>, enterprise: Option<&str>, schema: &str) -> Result<Option<Bot>> {
    let tables = Tables::attached(schema)?;
    let team = workspace(&tables, team, enterprise)?;
    let mut bot: Option<Bot> = None;
    STATEMENTS.with(|statements| {
        let arguments = [datum(schema), datum(team.as_str())];
        statements.bot.rows(&arguments, |row| {
            bot = Some((
                row.get(1).unwrap_or_default(),
                row.get(2),
                row.get(3),
                row.get(4),
                row.get(5).unwrap_or_default(),
                row.get(6),
                row.get(7),
            ));
        })
    })?;
    if bot
        .as_ref()
        .is_some_and(|(_, _, token, ..)| token.is_some())
    {
        return Ok(bot);
    }
    tables.as_owner(|| {
        let best = best(&tables, vec![team], &[]);
        let ids: Vec<i64> = best.into_values().collect();
        let arguments = [keys_argument(&ids)];
        let describe = &tables.statements.describe;
        describe.rows(View::Newest, &arguments, |row| {
            if let Some(token) = row.get::<Vec<u8>>(2) {
                bot = Some((
                    row.get(1).unwrap_or_default(),
                    row.get(5),
                    Some(token),
                    row.get(3),
                    scopes_described(row),
                    None,
                    row.get(4),
                ));
            }
        });
    });
    Ok(bot)
}

/// What is needed to act as a workspace's bot; None if it has no token.
#[derive(Clone, Default)]
pub(crate) struct Token {
    pub(crate) enterprise: Option<String>,
    pub(crate) token: Option<Vec<u8>>,
    pub(crate) iv: Option<Vec<u8>>,
}

/// The tokens of some workspaces, each found like [`slack_bot`] does.
pub(crate) fn tokens(schema: &str, teams: Vec<String>) -> Result<BTreeMap<String, Token>> {
    let mut tokens: BTreeMap<String, Token> = BTreeMap::new();
    STATEMENTS.with(|statements| {
        let arguments = [datum(schema), datum(teams.clone())];
        statements.tokens.rows(&arguments, |row| {
            let token = Token {
                enterprise: row.get(2),
                token: row.get(3),
                iv: row.get(4),
            };
            tokens.insert(row.get(1).unwrap_or_default(), token);
        })
    })?;
    let has_token = |team: &String| tokens.get(team).is_some_and(|it| it.token.is_some());
    let without: Vec<String> = teams.into_iter().filter(|team| !has_token(team)).collect();
    if without.is_empty() {
        return Ok(tokens);
    }
    let tables = Tables::attached(schema)?;
    tables.as_owner(|| {
        let best = best(&tables, without, &[]);
        let ids: Vec<i64> = best.into_values().collect();
        let describe = &tables.statements.describe;
        describe.rows(View::Newest, &[keys_argument(&ids)], |row| {
            if let Some(token) = row.get::<Vec<u8>>(2) {
                let known = tokens.entry(row.get(1).unwrap_or_default()).or_default();
                known.token = Some(token);
                known.iv = row.get(3);
            }
        });
    });
    Ok(tokens)
}

/// Those of these workspaces that the app can send to.
pub(crate) fn with_token<'a>(
    schema: &str,
    teams: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<String>> {
    let teams: BTreeSet<&str> = teams.collect();
    if teams.is_empty() {
        return Ok(BTreeSet::new());
    }
    let found = tokens(schema, teams.into_iter().map(str::to_owned).collect())?;
    let with_token = found.into_iter().filter(|(_, it)| it.token.is_some());
    Ok(with_token.map(|(team, _)| team).collect())
}

/// A workspace as it is listed.
#[derive(Clone, Default)]
struct Workspace {
    name: String,
    integrations: i64,
    active: i64,
    scopes: Vec<String>,
    has_token: bool,
    installed_at: Option<TimestampWithTimeZone>,
    expires_at: Option<TimestampWithTimeZone>,
    refresh_error: Option<String>,
}

/// The workspaces that have an installation, or rows.
#[pg_extern(sql = r#"
create function lockstep.list_slack_workspaces(max_rows integer default 1000, schema text default 'public')
returns table (team_id text, team_name text, is_org boolean, integrations bigint, active bigint, scopes text[], has_token boolean,
               installed_at timestamptz, expires_at timestamptz, refresh_error text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.list_slack_workspaces(integer, text) is
  'Slack workspaces with an installation or with rows, how many integrations they have, how many of them active';
revoke execute on function lockstep.list_slack_workspaces(integer, text) from public;
grant execute on function lockstep.list_slack_workspaces(integer, text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn list_slack_workspaces(
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(team_id, String),
        name!(team_name, String),
        name!(is_org, bool),
        name!(integrations, i64),
        name!(active, i64),
        name!(scopes, Vec<String>),
        name!(has_token, bool),
        name!(installed_at, Option<TimestampWithTimeZone>),
        name!(expires_at, Option<TimestampWithTimeZone>),
        name!(refresh_error, Option<String>),
    ),
> {
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    let mut workspaces: Vec<_> = workspaces(max_rows, schema)
        .or_raise()
        .into_iter()
        .collect();
    workspaces.sort_by(|(one, a), (other, b)| (&a.name, one).cmp(&(&b.name, other)));
    workspaces.truncate(usize::try_from(max_rows).unwrap_or_default());
    TableIterator::new(workspaces.into_iter().map(|(team, it)| {
        let is_org = team.starts_with('E');
        (
            team,
            it.name,
            is_org,
            it.integrations,
            it.active,
            it.scopes,
            it.has_token,
            it.installed_at,
            it.expires_at,
            it.refresh_error,
        )
    }))
}

fn workspaces(max_rows: i32, schema: &str) -> Result<BTreeMap<String, Workspace>> {
    check_max_rows(max_rows)?;
    let tables = Tables::attached(schema)?;
    let mut workspaces: BTreeMap<String, Workspace> = BTreeMap::new();
    let s = tables.slack.qualified_name();
    let of_rows = Statement::planned_anew(
        &qualified(&format!(
            "select b.*, array(select c.name::pg_catalog.text from {l} l join {c} c on c.id == l.slack_api_scope_id
                                where l.slack_integration_id == b.id order by c.name::pg_catalog.text collate \"C\")
               from (select s.team_id::pg_catalog.text, (pg_catalog.array_agg(s.team_name::pg_catalog.text order by {order}))[1],
                            pg_catalog.count(*), pg_catalog.count(*) filter (where i.active),
                            pg_catalog.bool_or(s.encrypted_bot_access_token is not null),
                            (pg_catalog.array_agg(s.id::pg_catalog.int8 order by {order}))[1] as id
                       from {s} s left join {i} i on i.id == s.integration_id group by s.team_id) b",
            l = tables.links.qualified_name(),
            c = tables.scopes.qualified_name(),
            i = tables.integrations.qualified_name(),
            order = "(s.encrypted_bot_access_token is not null) desc, s.updated_at desc, s.id desc",
        )),
        &[],
    );
    tables.as_owner(|| {
        of_rows.rows(View::Newest, &[], |row| {
            let workspace = Workspace {
                name: row.get(2).unwrap_or_default(),
                integrations: row.get(3).unwrap_or_default(),
                active: row.get(4).unwrap_or_default(),
                has_token: row.get(5).unwrap_or_default(),
                scopes: row.get(7).unwrap_or_default(),
                ..Workspace::default()
            };
            workspaces.insert(row.get(1).unwrap_or_default(), workspace);
        });
    });
    STATEMENTS.with(|statements| {
        statements.workspaces.rows(&[datum(schema)], |row| {
            let team = row.get::<String>(1).unwrap_or_default();
            let workspace = workspaces.entry(team).or_default();
            workspace.name = row.get(2).unwrap_or_default();
            workspace.scopes = row.get(3).unwrap_or_default();
            workspace.has_token = row.get(4).unwrap_or_default();
            workspace.installed_at = row.get(5);
            workspace.expires_at = row.get(6);
            workspace.refresh_error = row.get(7);
        })
    })?;
    Ok(workspaces)
}
