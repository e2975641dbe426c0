//! Settings as Slack users see and change them: only for integrations of their own workspace.

use super::configure;
use super::effective::Effective;
use crate::error::{EventError, OrRaise, Result, SlackError, required};
use crate::event::read::{KINDS, Kind};
use crate::event::tables::Tables;
use crate::slack_workspace::{Right, allowed, of_workspace, workspace, write_with_heirs};
use lockstep_server::host::{NOW, qualified};
use lockstep_server::{Statement, View, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;

/// Shows the settings of a workspace's integration.
#[pg_extern(sql = r#"
create function lockstep_api.slack_workspace_notifications(team_id text, enterprise_id text, slack_integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.slack_workspace_notifications(text, text, bigint, text) is
  'the settings of an integration of a Slack workspace, as shown by lockstep.slack_notifications, the application''s event switches, whether the settings are inherited, null if there is no parent, and the version of its routes';
revoke execute on function lockstep_api.slack_workspace_notifications(text, text, bigint, text) from public;
"#)]
fn slack_workspace_notifications(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    schema: Option<&str>,
) -> JsonB {
    let row = required(slack_integration_id, "slack_integration_id");
    let schema = required(schema, "schema");
    let shown = || {
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, team_id, enterprise_id)?;
        let found = of_workspace(&tables, &team, row)?;
        let mut shown = configure::shown(&tables, found.integration)?;
        let effective = configure::of(&tables, found.integration)?;
        let Effective { from, parent, .. } = effective;
        shown["inherited"] = match parent {
            Some(_) => (from != Some(found.integration)).into(),
            None => Value::Null,
        };
        shown["routes_version"] = effective.settings.routes_version().into();
        let events = KINDS.into_iter();
        let events = events.filter(|kind| column_of(&tables, *kind).is_some());
        shown["events"] = events.map(Kind::name).collect();
        Ok(shown)
    };
    JsonB(shown().or_raise())
}

/// Changes the settings of a workspace's integration for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.set_slack_integration_settings(team_id text, enterprise_id text, slack_integration_id bigint, user_id text,
  is_manager boolean, settings jsonb, events jsonb, routes_version text default null, schema text default 'public')
returns table (alias text)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.set_slack_integration_settings(text, text, bigint, text, boolean, jsonb, jsonb, text, text) is
  'changes settings of an integration of a Slack workspace, or removes its own if "inherited" is set, and switches its events on or off, also for integrations that inherit from it; the user must manage it, and only linked accounts may choose where confidential events go; routes are not replaced if routes_version is given and no longer theirs';
revoke execute on function lockstep_api.set_slack_integration_settings(text, text, bigint, text, boolean, jsonb, jsonb, text, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn set_slack_integration_settings(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    is_manager: Option<bool>,
    settings: Option<JsonB>,
    events: Option<JsonB>,
    routes_version: Option<&str>,
    schema: Option<&str>,
) -> TableIterator<'static, (name!(alias, String),)> {
    let row = required(slack_integration_id, "slack_integration_id");
    let user = required(user_id, "user_id");
    let is_manager = required(is_manager, "is_manager");
    let schema = required(schema, "schema");
    let set = || -> Result<String> {
        let tables = Tables::attached(schema)?;
        let person = (user, is_manager);
        let (found, right) = allowed(&tables, schema, (team_id, enterprise_id), row, person)?;
        let before = confidential_channels(&tables, found.integration)?;
        if let Some(events) = events {
            switch_events(&tables, found.integration, &events.0)?;
        }
        match settings.map(|settings| settings.0) {
            None => {}
            Some(settings) if settings == "inherited" => {
                configure::reset(&tables, found.integration, routes_version)?;
            }
            Some(settings) => {
                configure::set(&tables, found.integration, &settings, routes_version)?;
            }
        }
        let after = confidential_channels(&tables, found.integration)?;
        if right != Right::Account && !after.is_subset(&before) {
            return Err(SlackError::Confidential { alias: found.alias }.into());
        }
        Ok(found.alias)
    };
    TableIterator::once((set().or_raise(),))
}

/// The channels that an integration notifies of confidential events.
fn confidential_channels(tables: &Tables, integration: i64) -> Result<BTreeSet<String>> {
    let settings = configure::of(tables, integration)?.settings;
    let mut channels = BTreeSet::new();
    for kind in KINDS.into_iter().filter(|kind| kind.is_confidential()) {
        if is_switched_on(tables, kind, integration) {
            channels.extend(settings.channels_by_any_route(kind).cloned());
        }
    }
    Ok(channels)
}

fn is_switched_on(tables: &Tables, kind: Kind, integration: i64) -> bool {
    let Some(column) = column_of(tables, kind) else {
        return false;
    };
    let query = Statement::new(
        &qualified(&format!(
            "select '' from {} i where i.id == $1 and i.{column}",
            tables.integrations.qualified_name()
        )),
        &[pg_sys::INT8OID],
    );
    tables.as_owner(|| query.run_seeing(View::Newest, &[datum(integration)]) > 0)
}

/// The application's column that switches these events, if it has one.
fn column_of(tables: &Tables, kind: Kind) -> Option<String> {
    let column = tables.integrations.find_column(kind.column()?)?;
    (column.is_boolean() && !column.is_generated()).then(|| column.quoted())
}

/// Switches events by name, in the application's own columns.
fn switch_events(tables: &Tables, integration: i64, events: &Value) -> Result<()> {
    let wrong = |path: String, problem: &str| EventError::Setting {
        path,
        problem: problem.to_owned(),
    };
    let Value::Object(events) = events else {
        return Err(wrong("events".to_owned(), "is not an object").into());
    };
    let mut assignments = String::new();
    let mut differences = Vec::new();
    for (name, value) in events {
        let path = || format!("events.{}", name.chars().take(50).collect::<String>());
        let kind = Kind::of_name(name).ok_or_else(|| wrong(path(), "is not an event"))?;
        let is_on = value
            .as_bool()
            .ok_or_else(|| wrong(path(), "is not a boolean"))?;
        let column = match (column_of(tables, kind), is_on) {
            (Some(column), _) => column,
            // It is off anyway.
            (None, false) => continue,
            (None, true) => return Err(wrong(path(), "is not an event of this GitLab").into()),
        };
        assignments += &format!("{column} = {is_on}, ");
        differences.push(format!("i.{column} is not {is_on}"));
    }
    if differences.is_empty() {
        return Ok(());
    }
    assignments += &format!("updated_at = {NOW}");
    write_with_heirs(tables, integration, &assignments, &differences.join(" or "));
    Ok(())
}
