//! Who follows the projects of an integration, for those who manage it: channels of any workspace, and by whom.

use super::kind::Wanted;
use super::listed::{Listed, conditions_of, listed};
use crate::account::Accounts;
use crate::error::{OrRaise, Result, required};
use crate::event::tables::Tables;
use crate::slack_workspace::check_max_rows;
use crate::slack_workspace::manager::{Person, managed};
use crate::subscription;
use lockstep_server::host::{qualified, way_to};
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, View, datum, keys_argument};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

kept! {
    static NAMES: OwnStatement = OwnStatement::new(
        "select i.team_id, i.team_name from lockstep_internal.slack_installation i where i.schema = $1 and i.team_id = any ($2)",
        &[pg_sys::TEXTOID, pg_sys::TEXTARRAYOID],
    );
}

/// Lists who follows the projects of an integration.
#[pg_extern(sql = r#"
create function lockstep_api.list_slack_followers(team_id text, enterprise_id text, slack_integration_id bigint, user_id text,
  is_manager boolean, max_rows integer default 100, schema text default 'public')
returns table (path text, team_id text, team_name text, channel text, events text[], routes jsonb, username text, state text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.list_slack_followers(text, text, bigint, text, boolean, integer, text) is
  'the channels of all workspaces that follow the project of an integration of a Slack workspace, or the projects of its group, with the GitLab account that subscribed each (null: an administrator, or no longer linked); none of an instance-wide integration, and none for a user who does not manage the integration';
revoke execute on function lockstep_api.list_slack_followers(text, text, bigint, text, boolean, integer, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn list_slack_followers(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    is_manager: Option<bool>,
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(path, Option<String>),
        name!(team_id, String),
        name!(team_name, Option<String>),
        name!(channel, String),
        name!(events, Vec<&'static str>),
        name!(routes, Option<JsonB>),
        name!(username, Option<String>),
        name!(state, &'static str),
    ),
> {
    let row = required(slack_integration_id, "slack_integration_id");
    let user = required(user_id, "user_id");
    let is_manager = required(is_manager, "is_manager");
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    let found = || {
        check_max_rows(max_rows)?;
        let tables = Tables::attached(schema)?;
        let person = Person {
            workspace: team_id,
            user,
            is_named: is_manager,
        };
        let managed = managed(&tables, (team_id, enterprise_id), &[row], person)?;
        match managed[..] {
            [(_, integration)] => followers(&tables, integration, max_rows.into()),
            _ => Ok(Vec::new()),
        }
    };
    let listed: Vec<Listed> = found().or_raise();
    let names = names(schema, &listed).or_raise();
    let users = usernames(schema, &listed).or_raise();
    TableIterator::new(listed.into_iter().map(move |it| {
        let subscription = it.subscription;
        let by = subscription.by.as_ref();
        let user = by.and_then(|by| users.get(&(by.workspace.clone(), by.user.clone())));
        let name = names.get(&subscription.team);
        let events = Wanted::by(&subscription).names();
        let routes = conditions_of(&subscription);
        (
            it.path,
            subscription.team,
            name.cloned(),
            subscription.channel,
            events,
            routes,
            user.cloned(),
            it.state,
        )
    }))
}

/// Of the integration's project, or of the projects of its group. Who manages an integration of the whole instance in one workspace
/// need not see its private projects: of that, none.
fn followers(tables: &Tables, integration: i64, most: i64) -> Result<Vec<Listed>> {
    let projects = match owner(tables, integration) {
        (Some(project), _) => vec![project],
        (None, Some(group)) => followed_below(tables, group)?,
        (None, None) => Vec::new(),
    };
    let found = subscription::following(&tables.schema, &projects, most)?;
    listed(tables, found)
}

/// The projects in that group, directly or further down, that anybody follows. They are looked up from the few that are followed: a
/// group may have far more.
fn followed_below(tables: &Tables, group: i64) -> Result<Vec<i64>> {
    let followed = subscription::projects(&tables.schema)?;
    let mut below = Vec::new();
    if followed.is_empty() {
        return Ok(below);
    }
    // If a namespace's ancestors are unknown, only itself.
    let text = format!(
        "select p.id::pg_catalog.int8 from {} p join {} n on n.id == p.namespace_id
          where p.id == any ($1) and $2 == any (coalesce({}, array[n.id::pg_catalog.int8]))",
        tables.projects.qualified_name(),
        tables.namespaces.qualified_name(),
        way_to(&tables.namespaces, "n")
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8ARRAYOID, pg_sys::INT8OID]);
    tables.as_owner(|| {
        let arguments = [keys_argument(&followed), datum(group)];
        query.rows(View::Newest, &arguments, |row| {
            below.extend(row.get::<i64>(1));
        });
    });
    Ok(below)
}

/// Its project, or its group.
fn owner(tables: &Tables, integration: i64) -> (Option<i64>, Option<i64>) {
    let column = |name: &str| match tables.integrations.find_column(name) {
        Some(column) => format!("i.{}::pg_catalog.int8", column.quoted()),
        None => "null::pg_catalog.int8".to_owned(),
    };
    let text = format!(
        "select {}, {} from {} i where i.id == $1",
        column("project_id"),
        column("group_id"),
        tables.integrations.qualified_name()
    );
    let query = Statement::new(&qualified(&text), &[pg_sys::INT8OID]);
    let mut owner = (None, None);
    tables.as_owner(|| {
        query.rows(View::Newest, &[datum(integration)], |row| {
            owner = (row.get(1), row.get(2));
        });
    });
    owner
}

/// The names of the workspaces.
fn names(schema: &str, listed: &[Listed]) -> Result<BTreeMap<String, String>> {
    let teams: BTreeSet<&str> = listed
        .iter()
        .map(|it| it.subscription.team.as_str())
        .collect();
    let mut names = BTreeMap::new();
    if !teams.is_empty() {
        let arguments = [
            datum(schema),
            datum(teams.into_iter().collect::<Vec<&str>>()),
        ];
        NAMES.with(|own| {
            own.rows(&arguments, |row| {
                names.extend(row.get::<String>(1).zip(row.get::<String>(2)));
            })
        })?;
    }
    Ok(names)
}

/// The accounts of those who subscribed, by workspace and Slack's id.
fn usernames(schema: &str, listed: &[Listed]) -> Result<BTreeMap<(String, String), String>> {
    let by = listed.iter().filter_map(|it| it.subscription.by.as_ref());
    let by: BTreeSet<(&str, &str)> = by.map(|by| (&*by.workspace, &*by.user)).collect();
    Ok(match Accounts::find(schema)? {
        Some(accounts) if !by.is_empty() => accounts.usernames(&by),
        _ => BTreeMap::new(),
    })
}
