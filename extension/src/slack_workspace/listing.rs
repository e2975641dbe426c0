//! The integrations of a workspace, as its users see and switch them.

use super::bot::check_max_rows;
use super::host_text::{NOW, qualified};
use super::owner::{event_columns, path_of_group, path_of_project};
use super::statements::{by_index, owner_or};
use super::tables::{Host, Tables};
use super::workspace::workspace;
use crate::error::{OrRaise, Result, SlackError, required};
use crate::statement::{Statement, View, datum, nullable};
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use pgrx::spi::quote_literal;

type Listed = (
    i64,
    i64,
    String,
    String,
    Option<String>,
    bool,
    Vec<String>,
    Vec<String>,
    bool,
    String,
);

/// The integrations of a workspace.
#[pg_extern(sql = r#"
create function lockstep.list_slack_integrations(team_id text, enterprise_id text, alias text default null, search text default null,
  id bigint default null, max_rows integer default 100, schema text default 'public')
returns table (slack_integration_id bigint, integration_id bigint, alias text, owner text, path text, active boolean, events text[], scopes text[],
               has_token boolean, user_id text)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.list_slack_integrations(text, text, text, text, bigint, integer, text) is
  'the integrations of a Slack workspace by alias; one, if its alias or id is given, or those with a part of an alias; with owner, events and scopes';
revoke execute on function lockstep.list_slack_integrations(text, text, text, text, bigint, integer, text) from public;
"#)]
#[allow(clippy::too_many_arguments, clippy::type_complexity)]
fn list_slack_integrations(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    alias: Option<&str>,
    search: Option<&str>,
    id: Option<i64>,
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(slack_integration_id, i64),
        name!(integration_id, i64),
        name!(alias, String),
        name!(owner, String),
        name!(path, Option<String>),
        name!(active, bool),
        name!(events, Vec<String>),
        name!(scopes, Vec<String>),
        name!(has_token, bool),
        name!(user_id, String),
    ),
> {
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    let wanted = [
        nullable(alias),
        nullable(search),
        nullable(id),
        Some(datum(max_rows)),
    ];
    let rows =
        check_max_rows(max_rows).and_then(|()| list((team_id, enterprise_id), wanted, schema));
    TableIterator::new(rows.or_raise())
}

fn list(
    (team, enterprise): (Option<&str>, Option<&str>),
    [alias, search, id, max_rows]: [Option<Datum>; 4],
    schema: &str,
) -> Result<Vec<Listed>> {
    let tables = Tables::attached(schema)?;
    let team = workspace(&tables, team, enterprise)?;
    let query = match alias {
        Some(_) => &tables.statements.listed_by_alias,
        None => &tables.statements.listed,
    };
    let arguments = [Some(datum(team)), alias, search, id, max_rows];
    let mut rows = Vec::new();
    tables.as_owner(|| {
        query.rows_with_nulls(View::Newest, &arguments, |row| {
            rows.push((
                row.get(1).unwrap_or_default(),
                row.get(2).unwrap_or_default(),
                row.get(3).unwrap_or_default(),
                row.get(4).unwrap_or_default(),
                row.get(5),
                row.get(6).unwrap_or_default(),
                row.get(7).unwrap_or_default(),
                row.get(8).unwrap_or_default(),
                row.get(9).unwrap_or_default(),
                row.get(10).unwrap_or_default(),
            ));
        });
    });
    Ok(rows)
}

/// `$1` team, `$2` alias, `$3` part of an alias, `$4` id, `$5` most rows. Planned once: that takes twenty times as long as to list a row.
/// With an alias that is another plan, as the host's index finds the one row of it in a team of thousands.
pub(super) fn statement(tables: &Host, has_alias: bool) -> Statement {
    let of_alias = match has_alias {
        true => "s.alias == $2",
        false => "$2 is null",
    };
    let events: Vec<String> = event_columns(tables)
        .into_iter()
        .map(|(event, column)| {
            format!(
                "case when i.{column} then {}::pg_catalog.text end",
                quote_literal(event)
            )
        })
        .collect();
    let owner = |column| match tables.integrations.find_column(column) {
        Some(_) => owner_or(tables, column, &format!("i.{column}")),
        None => owner_or(tables, column, "null::pg_catalog.int8"),
    };
    let text = format!(
        "select s.id::pg_catalog.int8, i.id::pg_catalog.int8, s.alias::pg_catalog.text,
                case when o.project_id is not null then 'project' when o.group_id is not null then 'group' else 'instance' end::pg_catalog.text,
                case when o.project_id is not null then (select {of_project} from {projects} p where p.id == o.project_id)
                     when o.group_id is not null then (select {of_group} from {namespaces} g where g.id == o.group_id) end,
                i.active, pg_catalog.array_remove(array[{events}]::pg_catalog.text[], null),
                array(select c.name::pg_catalog.text from {links} l join {scopes} c on c.id == l.slack_api_scope_id
                       where l.slack_integration_id == s.id order by c.name::pg_catalog.text collate \"C\"),
                s.encrypted_bot_access_token is not null, s.user_id::pg_catalog.text
           from {slack} s join {integrations} i on i.id == s.integration_id
          cross join lateral (select {owner_project} as project_id, {owner_group} as group_id offset 0) o
          where s.team_id == $1 and {of_alias}
            and ($3 is null or pg_catalog.strpos(pg_catalog.lower(s.alias), pg_catalog.lower($3)) operator(pg_catalog.>) 0)
            and ($4 is null or s.id == $4)
          order by s.alias::pg_catalog.text collate \"C\" limit $5",
        of_project = path_of_project(tables, "p"),
        of_group = path_of_group(tables, "g"),
        events = events.join(", "),
        owner_project = owner("project_id"),
        owner_group = owner("group_id"),
        slack = tables.slack.qualified_name(),
        links = tables.links.qualified_name(),
        scopes = tables.scopes.qualified_name(),
        integrations = tables.integrations.qualified_name(),
        projects = tables.projects.qualified_name(),
        namespaces = tables.namespaces.qualified_name(),
    );
    let parameters = [
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::TEXTOID,
        pg_sys::INT8OID,
        pg_sys::INT4OID,
    ];
    by_index(&text, &parameters)
}

/// Switches one integration of a workspace, as a user of Slack asks.
#[pg_extern(sql = r#"
create function lockstep.set_slack_integration_active(team_id text, enterprise_id text, slack_integration_id bigint, user_id text, active boolean,
  is_manager boolean default false, schema text default 'public')
returns table (alias text, changed boolean)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_slack_integration_active(text, text, bigint, text, boolean, boolean, text) is
  'switches an integration of a Slack workspace on or off, for whoever installed it or a manager';
revoke execute on function lockstep.set_slack_integration_active(text, text, bigint, text, boolean, boolean, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn set_slack_integration_active(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    active: Option<bool>,
    is_manager: Option<bool>,
    schema: Option<&str>,
) -> TableIterator<'static, (name!(alias, String), name!(changed, bool))> {
    let row = required(slack_integration_id, "slack_integration_id");
    let user = required(user_id, "user_id");
    let active = required(active, "active");
    let is_manager = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let set = || -> Result<(String, bool)> {
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, team_id, enterprise_id)?;
        let (alias, installer) = find(&tables, &team, row)?;
        if installer != user && !is_manager {
            return Err(SlackError::NotInstaller { alias }.into());
        }
        Ok((alias, switch(&tables, &team, row, active)))
    };
    TableIterator::once(set().or_raise())
}

/// The alias of a row, and who installed it.
fn find(tables: &Tables, team: &str, row: i64) -> Result<(String, String)> {
    let query = Statement::new(
        &qualified(&format!(
            "select s.alias::pg_catalog.text, s.user_id::pg_catalog.text from {} s where s.team_id == $1 and s.id == $2",
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID, pg_sys::INT8OID],
    );
    let mut found = None;
    tables.as_owner(|| {
        query.rows(View::Newest, &[datum(team), datum(row)], |answer| {
            found = answer.get(1).zip(answer.get(2));
        });
    });
    found.ok_or_else(|| {
        SlackError::NoSuchRow {
            id: row,
            team: team.to_owned(),
        }
        .into()
    })
}

fn switch(tables: &Tables, team: &str, row: i64, active: bool) -> bool {
    let update = Statement::new(
        &qualified(&format!(
            "update {} i set active = $3, updated_at = {NOW} from {} s
              where s.team_id == $1 and s.id == $2 and i.id == s.integration_id and i.active <> $3",
            tables.integrations.qualified_name(),
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::BOOLOID],
    );
    let arguments = [datum(team), datum(row), datum(active)];
    tables.on_host(|| update.run(&arguments)) > 0
}
