//! The integrations of a workspace, as shown to its users.

use crate::error::{OrRaise, Result, SlackError, required};
use crate::slack_workspace::host::{Tables, check_max_rows, workspace};
use crate::subscription;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument, nullable};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::thread::LocalKey;

use super::by_path;
use super::listed::{Found, Listed, Listings, Paths};

/// Aliases in one call: it holds its locks until all are found.
const MOST_ALIASES: usize = 1000;

/// The integrations of a workspace.
#[pg_extern(sql = r#"
create function lockstep_api.list_slack_integrations(team_id text, enterprise_id text, alias text default null, search text default null,
  id bigint default null, max_rows integer default 100, schema text default 'public')
returns table (slack_integration_id bigint, integration_id bigint, alias text, owner text, path text, active boolean, events text[], scopes text[],
               has_token boolean, user_id text, has_trouble boolean, has_followers boolean)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.list_slack_integrations(text, text, text, text, bigint, integer, text) is
  'the integrations of a Slack workspace by alias; one, if its alias, a path that its project has or had, or its id is given, or those with a part of an alias; with owner, events, scopes, whether messages of it failed, and whether channels follow its project, or any project if it is a group''s';
revoke execute on function lockstep_api.list_slack_integrations(text, text, text, text, bigint, integer, text) from public;
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
        name!(has_trouble, bool),
        name!(has_followers, bool),
    ),
> {
    let max_rows = required(max_rows, "max_rows");
    let schema = required(schema, "schema");
    let list = || -> Result<Vec<Listed>> {
        check_max_rows(max_rows)?;
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, team_id, enterprise_id)?;
        let found = match alias {
            Some(alias) => {
                let mut found = by_alias(&tables, &[(&*team, Some(alias))]);
                found.retain(|it| id.is_none_or(|id| it.id == id));
                found.truncate(max_rows as usize);
                found
            }
            None => all(&tables, &team, (search, id), max_rows),
        };
        listed(&tables, schema, found)
    };
    TableIterator::new(list().or_raise())
}

/// Looks for integrations of several workspaces.
#[pg_extern(sql = r#"
create function lockstep_api.slack_integrations_by_alias(team_ids text[], enterprise_ids text[], aliases text[], schema text default 'public')
returns table (place bigint, slack_integration_id bigint, integration_id bigint, alias text, owner text, path text, active boolean, events text[],
               scopes text[], has_token boolean, user_id text, has_trouble boolean, has_followers boolean)
language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.slack_integrations_by_alias(text[], text[], text[], text) is
  'for each alias, or path that a project has or had, the integration of the Slack workspace at the same place, if there is one: the same as a call of lockstep_api.list_slack_integrations per alias, in a fraction of the time; the arrays have the same length, 1000 at most';
revoke execute on function lockstep_api.slack_integrations_by_alias(text[], text[], text[], text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn slack_integrations_by_alias(
    team_ids: Option<Vec<Option<String>>>,
    enterprise_ids: Option<Vec<Option<String>>>,
    aliases: Option<Vec<Option<String>>>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(place, i64),
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
        name!(has_trouble, bool),
        name!(has_followers, bool),
    ),
> {
    let team_ids = required(team_ids, "team_ids");
    let enterprise_ids = required(enterprise_ids, "enterprise_ids");
    let aliases = required(aliases, "aliases");
    let schema = required(schema, "schema");
    let find = || -> Result<Vec<(i64, Listed)>> {
        check_lengths(&team_ids, &enterprise_ids, &aliases)?;
        let tables = Tables::attached(schema)?;
        let tenants = || {
            let teams = team_ids.iter().map(Option::as_deref);
            teams.zip(enterprise_ids.iter().map(Option::as_deref))
        };
        let teams = workspaces(&tables, tenants())?;
        let teams = tenants().filter_map(|tenant| teams.get(&tenant).map(|it| &**it));
        let wanted: Vec<_> = teams.zip(aliases.iter().map(Option::as_deref)).collect();
        let found = by_alias(&tables, &wanted);
        let places: Vec<i64> = found.iter().map(|it| it.place).collect();
        Ok(places
            .into_iter()
            .zip(listed(&tables, schema, found)?)
            .collect())
    };
    TableIterator::new(find().or_raise().into_iter().map(
        |(
            place,
            (id, of, alias, owner, path, active, events, scopes, token, user, trouble, followers),
        )| {
            (
                place, id, of, alias, owner, path, active, events, scopes, token, user, trouble,
                followers,
            )
        },
    ))
}

/// A place has a value in each.
fn check_lengths<T>(team_ids: &[T], enterprise_ids: &[T], aliases: &[T]) -> Result<()> {
    let aliases = aliases.len();
    for (name, length) in [
        ("team_ids", team_ids.len()),
        ("enterprise_ids", enterprise_ids.len()),
    ] {
        if length != aliases {
            return Err(SlackError::Lengths {
                name,
                length,
                aliases,
            }
            .into());
        }
    }
    match aliases > MOST_ALIASES {
        true => Err(SlackError::TooManyAliases { aliases }.into()),
        false => Ok(()),
    }
}

type Tenant<'a> = (Option<&'a str>, Option<&'a str>);

/// The workspace of each, looked for once: many ask from the same.
fn workspaces<'a>(
    tables: &Tables,
    tenants: impl Iterator<Item = Tenant<'a>>,
) -> Result<BTreeMap<Tenant<'a>, String>> {
    let tenants: BTreeSet<Tenant> = tenants.collect();
    tenants
        .into_iter()
        .map(|(team, enterprise)| Ok(((team, enterprise), workspace(tables, team, enterprise)?)))
        .collect()
}

fn all(
    tables: &Tables,
    team: &str,
    (search, id): (Option<&str>, Option<i64>),
    max_rows: i32,
) -> Vec<Found> {
    let listings = tables.prepared(Listings::new);
    let arguments = [
        Some(datum(team)),
        nullable(search),
        nullable(id),
        Some(datum(max_rows)),
    ];
    let mut found = Vec::new();
    tables.as_owner(|| listings.all.append(&arguments, &mut found));
    found
}

/// The integrations of teams with aliases, each with its place among them.
fn by_alias(tables: &Tables, wanted: &[(&str, Option<&str>)]) -> Vec<Found> {
    let listings = tables.prepared(Listings::new);
    let (teams, aliases): (Vec<&str>, Vec<Option<&str>>) = wanted.iter().copied().unzip();
    let arguments = [Some(datum(teams)), Some(datum(aliases))];
    let mut found: Vec<Found> = Vec::new();
    tables.as_owner(|| listings.by_alias.append(&arguments, &mut found));
    let has: BTreeSet<i64> = found.iter().map(|it| it.place).collect();
    for (place, (team, alias)) in (1..).zip(wanted) {
        // An alias is the project's name when it was connected, or one that somebody chose later.
        let Some(path) = alias.filter(|it| !has.contains(&place) && it.contains('/')) else {
            continue;
        };
        if let Some(known) = tables.as_owner(|| by_path::find(tables, team, path)) {
            let mut of_path = all(tables, team, (None, Some(known)), 1);
            of_path.iter_mut().for_each(|it| it.place = place);
            found.append(&mut of_path);
        }
    }
    found
}

fn listed(tables: &Tables, schema: &str, found: Vec<Found>) -> Result<Vec<Listed>> {
    let listings = tables.prepared(Listings::new);
    let paths = tables.as_owner(|| Paths::look_up(&listings, &found));
    let troubled = troubled(schema, &found)?;
    let followed = followed(schema, &found)?;
    Ok(found
        .into_iter()
        .map(|it| it.listed(&paths, &troubled, &followed))
        .collect())
}

/// Those of these integrations that may have followers: of its project, or of any, because to look for those of a group's takes longer.
fn followed(schema: &str, found: &[Found]) -> Result<BTreeSet<i64>> {
    let projects: Vec<i64> = found.iter().filter_map(|it| it.project_id).collect();
    let followed: BTreeSet<i64> = subscription::followed(schema, &projects)?
        .into_iter()
        .collect();
    let any = found.iter().any(|it| it.is_group) && subscription::has_any(schema)?;
    let may_be = |it: &&Found| match it.project_id {
        Some(project) => followed.contains(&project),
        None => it.is_group && any,
    };
    Ok(found
        .iter()
        .filter(may_be)
        .map(|it| it.integration)
        .collect())
}

kept! {
    static TROUBLED: OwnStatement = OwnStatement::by_index(
        "select t.integration_id from lockstep_internal.slack_channel_trouble t where t.schema = $1 and t.integration_id = any ($2)",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
        &["schema"],
    );
    // Without the channels that are no longer notified, which takes longer to find out.
    static TROUBLED_NOW: OwnStatement = OwnStatement::new(
        "select t.integration_id from lockstep_internal.channel_troubles($1, $2) t",
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
    );
}

/// Those of these integrations with a channel that could not be notified.
fn troubled(schema: &str, found: &[Found]) -> Result<BTreeSet<i64>> {
    let ids: Vec<i64> = found.iter().map(|it| it.integration).collect();
    let any = among(&TROUBLED, schema, &ids)?;
    let ids: Vec<i64> = any.into_iter().collect();
    among(&TROUBLED_NOW, schema, &ids)
}

fn among(
    statement: &'static LocalKey<ManuallyDrop<OwnStatement>>,
    schema: &str,
    ids: &[i64],
) -> Result<BTreeSet<i64>> {
    let mut troubled = BTreeSet::new();
    if !ids.is_empty() {
        let arguments = [datum(schema), keys_argument(ids)];
        statement.with(|statement| {
            statement.rows(&arguments, |row| troubled.extend(row.get::<i64>(1)))
        })?;
    }
    Ok(troubled)
}
