//! Settings as Slack users see and change them: only for integrations of their own workspace.

use super::configure;
use super::effective::{Effective, Settings};
use super::review_reminder;
use crate::error::{EventError, OrRaise, Result, SlackError, required};
use crate::event::read::{KINDS, Kind};
use crate::event::tables::Tables;
use crate::slack_workspace::{
    Right, allowed, is_true_with_heirs, of_workspace, workspace, write_with_heirs,
};
use lockstep_server::Jsonb;
use lockstep_server::host::NOW;
use pgrx::JsonB;
use pgrx::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Shows the settings of a workspace's integration.
#[pg_extern(sql = r#"
create function lockstep_api.slack_workspace_notifications(team_id text, enterprise_id text, slack_integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.slack_workspace_notifications(text, text, bigint, text) is
  'the settings of an integration of a Slack workspace, as shown by lockstep.slack_notifications, the application''s event switches, whether the settings are inherited, null if there is no parent, and the version of its routes and reminders';
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
        // All of it from one look: a version of newer ones than those that are shown would let them be replaced unseen.
        let effective = configure::of(&tables, found.integration)?;
        let reminders = review_reminder::of(schema, found.integration)?;
        let mut shown = configure::shown_of(&effective, &reminders)?;
        let Effective { from, parent, .. } = effective;
        shown["inherited"] = match parent {
            Some(_) => (from != Some(found.integration)).into(),
            None => Value::Null,
        };
        shown["version"] = effective.settings.version(&reminders).into();
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
  is_manager boolean, settings jsonb, events jsonb, version text default null, schema text default 'public')
returns table (alias text)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.set_slack_integration_settings(text, text, bigint, text, boolean, jsonb, jsonb, text, text) is
  'changes settings of an integration of a Slack workspace, or removes its own if "inherited" is set, and switches its events on or off, also for integrations that inherit from it; the user must manage it, and only linked accounts may choose where confidential events go, also those that are off; routes and reminders are not replaced if version is given and no longer theirs';
revoke execute on function lockstep_api.set_slack_integration_settings(text, text, bigint, text, boolean, jsonb, jsonb, text, text) from public;
"#)]
#[allow(clippy::too_many_arguments)]
fn set_slack_integration_settings(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    slack_integration_id: Option<i64>,
    user_id: Option<&str>,
    is_manager: Option<bool>,
    settings: Option<Jsonb>,
    events: Option<Jsonb>,
    version: Option<&str>,
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
        let on_before = kinds_that_are_on(&tables, found.integration);
        if let Some(events) = events {
            switch_events(&tables, found.integration, &events.0)?;
        }
        let (before, after) = match settings.map(|settings| settings.0) {
            None => {
                let settings = configure::of(&tables, found.integration)?.settings;
                (Rc::clone(&settings), settings)
            }
            Some(settings) => {
                let changed = if settings == "inherited" {
                    configure::reset(&tables, found.integration, version)?
                } else {
                    configure::set(&tables, found.integration, &settings, version)?
                };
                (changed.before.into(), changed.after.into())
            }
        };
        if right != Right::Account {
            let on_after = kinds_that_are_on(&tables, found.integration);
            if opens(&before, &on_before, &after, &on_after) {
                return Err(SlackError::Confidential { alias: found.alias }.into());
            }
        }
        Ok(found.alias)
    };
    TableIterator::once((set().or_raise(),))
}

/// Whether confidential events go to another channel than before, or would do so once they are switched on. What goes where incidents
/// do may be confidential, but need not be: that opens no channel for what always is.
fn opens(before: &Settings, on_before: &[Kind], after: &Settings, on_after: &[Kind]) -> bool {
    let adds = |which: fn(Kind) -> bool| {
        let channels = |settings: &Settings, on: &[Kind]| -> BTreeSet<String> {
            let kinds = on.iter().copied().filter(|kind| which(*kind));
            let channels = kinds.flat_map(|kind| settings.channels_by_any_route(kind));
            channels.cloned().collect()
        };
        !channels(after, on_after).is_subset(&channels(before, on_before))
    };
    let mut kinds = KINDS.into_iter().filter(|kind| kind.may_be_confidential());
    adds(Kind::is_confidential)
        || adds(Kind::may_be_confidential)
        || kinds.any(|kind| {
            let before: BTreeSet<&String> = before.channels_by_any_route(kind).collect();
            let mut chosen = after.channels_of_its_own(kind);
            chosen.any(|channel| !before.contains(channel))
        })
}

/// The events that may be confidential and are switched on, here or where the settings may be inherited.
fn kinds_that_are_on(tables: &Tables, integration: i64) -> Vec<Kind> {
    let kinds = KINDS.into_iter().filter(|kind| kind.may_be_confidential());
    let is_on = |kind: &Kind| {
        column_of(tables, *kind)
            .is_some_and(|column| is_true_with_heirs(tables, integration, &column))
    };
    kinds.filter(is_on).collect()
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
