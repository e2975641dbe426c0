//! Who may manage an integration: a user whom the application allowed to install it, by a ticket or by SQL; and a maintainer of
//! its project or group, by a linked account. Having installed or reinstalled the app in the workspace gives no right.

use super::host::{Tables, workspace};
use crate::account::{Accounts, MAINTAINER, Place};
use crate::error::{OrRaise, Result, required};
use lockstep_server::host::qualified;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, Statement, View, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// Where a right to manage comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Right {
    /// A role in GitLab.
    Account,
    /// The application allowed this user to install it.
    Ticket,
    /// Named in the sidecar's configuration.
    Named,
}

struct Own {
    add: OwnStatement,
    of_user: OwnStatement,
    of_team: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        add: OwnStatement::new(
            "insert into lockstep_internal.slack_manager (schema, integration_id, team_id, user_id) values ($1, $2, $3, $4) on conflict do nothing",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
        ),
        of_user: OwnStatement::by_index(
            "select m.integration_id from lockstep_internal.slack_manager m
              where m.schema = $1 and m.integration_id = any ($2) and m.team_id = $3 and m.user_id = $4",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
            &["schema"],
        ),
        of_team: OwnStatement::new(
            "select distinct m.user_id from lockstep_internal.slack_manager m where m.schema = $1 and m.team_id = $2 order by 1 limit $3",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
    };
}

/// The application has allowed a user to install the app for an integration.
pub(super) fn add(schema: &str, integration: i64, team: &str, user: &str) -> Result<()> {
    let arguments = [datum(schema), datum(integration), datum(team), datum(user)];
    STATEMENTS.with(|own| own.add.run(&arguments))?;
    Ok(())
}

/// Slack users who manage any integration of a workspace, at most that many. It does not fail if accounts cannot be read.
pub(super) fn managers_of(tables: &Tables, team: &str, most: usize) -> Result<Vec<String>> {
    let schema = tables.schema.as_str();
    let mut people = Vec::new();
    STATEMENTS.with(|own| {
        let arguments = [datum(schema), datum(team), datum(most as i64)];
        own.of_team
            .rows(&arguments, |row| people.extend(row.get::<String>(1)))
    })?;
    if let Ok(Some(accounts)) = Accounts::find(schema) {
        let places = places_of(tables, &integrations_of(tables, team));
        people.extend(accounts.people_with_role(team, &places, MAINTAINER, most));
    }
    let mut seen = BTreeSet::new();
    people.retain(|user| seen.insert(user.clone()));
    people.truncate(most);
    Ok(people)
}

/// At most 1,000 of them.
fn integrations_of(tables: &Tables, team: &str) -> Vec<i64> {
    let query = Statement::new(
        &qualified(&format!(
            "select s.integration_id::pg_catalog.int8 from {} s where s.team_id == $1 order by s.id limit 1000",
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID],
    );
    let mut integrations = Vec::new();
    tables.as_owner(|| {
        query.rows(View::Newest, &[datum(team)], |row| {
            integrations.extend(row.get::<i64>(1));
        });
    });
    integrations
}

/// A Slack user in a workspace.
#[derive(Clone, Copy)]
pub(crate) struct Person<'a> {
    /// The workspace's id, even if the app is installed for the whole organization.
    pub(crate) workspace: Option<&'a str>,
    pub(crate) user: &'a str,
    /// Named in the sidecar's configuration.
    pub(crate) is_named: bool,
}

/// The strongest right that a user has to each of these integrations.
pub(super) fn rights(
    tables: &Tables,
    schema: &str,
    team: &str,
    integrations: &[i64],
    person: Person,
) -> Result<BTreeMap<i64, Right>> {
    let mut rights = BTreeMap::new();
    if person.is_named {
        rights.extend(integrations.iter().map(|it| (*it, Right::Named)));
    }
    let arguments = [
        datum(schema),
        keys_argument(integrations),
        datum(team),
        datum(person.user),
    ];
    STATEMENTS.with(|own| {
        own.of_user.rows(&arguments, |row| {
            rights.extend(row.get::<i64>(1).map(|it| (it, Right::Ticket)));
        })
    })?;
    if let Some(accounts) = Accounts::find(schema)? {
        let places = places_of(tables, integrations);
        let workspace = person.workspace.unwrap_or(team);
        let by_account = accounts.with_role(workspace, person.user, &places, MAINTAINER);
        rights.extend(by_account.into_iter().map(|it| (it, Right::Account)));
    }
    Ok(rights)
}

/// Where a role is required. No linked account gives a right to an instance-wide integration.
fn places_of(tables: &Tables, integrations: &[i64]) -> Vec<Place> {
    let group = match tables.integrations.find_column("group_id") {
        Some(_) => "i.group_id",
        None => "null",
    };
    let query = Statement::new(
        &qualified(&format!(
            "select i.id::pg_catalog.int8, coalesce(p.namespace_id, {group})::pg_catalog.int8, i.project_id::pg_catalog.int8
               from {} i left join {} p on p.id == i.project_id where i.id == any ($1)",
            tables.integrations.qualified_name(),
            tables.projects.qualified_name(),
        )),
        &[pg_sys::INT8ARRAYOID],
    );
    let mut places = Vec::new();
    tables.as_owner(|| {
        query.rows(View::Newest, &[keys_argument(integrations)], |row| {
            let place = |key| {
                Some(Place {
                    key,
                    namespace: row.get(2)?,
                    project: row.get(3),
                })
            };
            places.extend(row.get(1).and_then(place));
        });
    });
    places
}

/// Which integrations a user may manage.
#[pg_extern(sql = r#"
create function lockstep_api.managed_slack_integrations(team_id text, enterprise_id text, user_id text, slack_integrations bigint[],
  is_manager boolean default false, schema text default 'public')
returns bigint[] language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.managed_slack_integrations(text, text, text, bigint[], boolean, text) is
  'which of these integrations of a Slack workspace a user of it manages: as a maintainer with a linked account, or as the one who installed it with a ticket; all, if is_manager';
revoke execute on function lockstep_api.managed_slack_integrations(text, text, text, bigint[], boolean, text) from public;
"#)]
fn managed_slack_integrations(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    user_id: Option<&str>,
    slack_integrations: Option<Vec<Option<i64>>>,
    is_manager: Option<bool>,
    schema: Option<&str>,
) -> Vec<i64> {
    let user = required(user_id, "user_id");
    let rows = required(slack_integrations, "slack_integrations");
    let rows: Vec<i64> = rows.into_iter().flatten().collect();
    let is_named = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let person = Person {
        workspace: team_id,
        user,
        is_named,
    };
    let of_rows = || {
        let tables = Tables::attached(schema)?;
        managed(&tables, (team_id, enterprise_id), &rows, person)
    };
    let of_rows = of_rows().or_raise();
    of_rows.into_iter().map(|(row, _)| row).collect()
}

/// Those of these rows of a workspace that a user of it manages, with their integrations.
pub(crate) fn managed(
    tables: &Tables,
    (team, enterprise): (Option<&str>, Option<&str>),
    rows: &[i64],
    person: Person,
) -> Result<Vec<(i64, i64)>> {
    let team = workspace(tables, team, enterprise)?;
    let query = Statement::new(
        &qualified(&format!(
            "select s.id::pg_catalog.int8, s.integration_id::pg_catalog.int8 from {} s where s.team_id == $1 and s.id == any ($2)",
            tables.slack.qualified_name()
        )),
        &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
    );
    let mut of_rows: Vec<(i64, i64)> = Vec::new();
    tables.as_owner(|| {
        let arguments = [datum(team.as_str()), keys_argument(rows)];
        query.rows(View::Newest, &arguments, |row| {
            of_rows.extend(row.get(1).zip(row.get(2)));
        });
    });
    let integrations: Vec<i64> = of_rows
        .iter()
        .map(|(_, integration)| *integration)
        .collect();
    let rights = rights(tables, &tables.schema, &team, &integrations, person)?;
    of_rows.retain(|(_, integration)| rights.contains_key(integration));
    Ok(of_rows)
}
