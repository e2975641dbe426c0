//! Setting and viewing feature flags from Slack.

use super::command::Command;
use super::target::{self, Targets};
use super::{feature, incident};
use crate::error::{ChatopsError, Error, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The requested state of a flag.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Wish {
    /// On or off: for the targets if there are any, otherwise for everybody.
    enabled: Option<bool>,
    percentage: Option<String>,
    /// What the percentage applies to: `actors` or `time`.
    of: Option<String>,
    projects: Vec<String>,
    groups: Vec<String>,
    namespaces: Vec<String>,
    users: Vec<String>,
    feature_groups: Vec<String>,
    /// Opts the targets out, or ends that.
    opt_out: Option<bool>,
    /// The percentage of actors from which a large step was confirmed.
    from: Option<f64>,
    is_held_by_incidents: bool,
}

/// Sets a flag for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_set_feature(command jsonb, name text, wish jsonb, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp set lock_timeout = '10s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_set_feature(jsonb, text, jsonb, text) is
  'sets a feature flag as a user of Slack asks, once per command, and records the user; answers how the flag stood and stands';
revoke execute on function lockstep_api.chatops_set_feature(jsonb, text, jsonb, text) from public;
"#)]
fn chatops_set_feature(
    command: Option<Jsonb>,
    name: Option<&str>,
    wish: Option<Jsonb>,
    schema: Option<&str>,
) -> JsonB {
    let command = required(command, "command");
    let name = required(name, "name");
    let wish = required(wish, "wish");
    let schema = required(schema, "schema");
    JsonB(set(command, name, wish, schema).or_raise())
}

fn set(command: Jsonb, name: &str, wish: Jsonb, schema: &str) -> Result<Value> {
    let command = Command::parse(command)?;
    let malformed = |message: String| Error::from(ChatopsError::Wish { message });
    let wish: Wish =
        serde_json::from_value(wish.0).map_err(|error| malformed(error.to_string()))?;
    command.alone_with(name, schema)?;
    command.once(|| {
        if wish.is_held_by_incidents {
            incident::refuse_while_declared()?;
        }
        let Targets {
            actors,
            paths,
            mut missing,
            has_missing_mention,
        } = target::targets(
            &[
                (target::Kind::Project, &wish.projects),
                (target::Kind::Group, &wish.groups),
                (target::Kind::Namespace, &wish.namespaces),
                (target::Kind::User, &wish.users),
            ],
            command.team(),
            schema,
        )?;
        let groups = &wish.feature_groups;
        if wish.enabled != Some(false) {
            // An unregistered group is empty. A flag that was set for a group since removed can still be unset.
            for group in groups {
                if !feature::is_group(group)? {
                    missing.push(("feature group", group.clone()));
                }
            }
        }
        if !missing.is_empty() {
            return Err(ChatopsError::NoSuchTargets {
                targets: missing,
                has_mention: has_missing_mention,
            }
            .into());
        }
        let before = feature::standing(name, schema)?;
        let now = before["percentage_of_actors"].as_f64().unwrap_or_default();
        if let Some(from) = wish.from.filter(|from| *from != now || before["state"] == "on") {
            let name = name.to_owned();
            return Err(ChatopsError::OtherStep { name, from, now }.into());
        }
        let change = json!({
            "enabled": wish.enabled, "actors": actors, "groups": groups, "percentage": wish.percentage, "of": wish.of,
            "opt_out": wish.opt_out,
        });
        let still_on = command.change_flag(name, &change, schema)?;
        let after = feature::standing(name, schema)?;
        Ok(json!({
            "before": before, "after": after, "actors": actors, "paths": paths, "groups": groups, "still_on": still_on,
        }))
    })
}

/// Removes a flag for a Slack user.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_delete_feature(command jsonb, name text, is_held_by_incidents boolean default false, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp set lock_timeout = '10s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_delete_feature(jsonb, text, boolean, text) is
  'removes a feature flag as a user of Slack asks, once per command, and records the user; answers how the flag stood';
revoke execute on function lockstep_api.chatops_delete_feature(jsonb, text, boolean, text) from public;
"#)]
fn chatops_delete_feature(
    command: Option<Jsonb>,
    name: Option<&str>,
    is_held_by_incidents: Option<bool>,
    schema: Option<&str>,
) -> JsonB {
    let command = required(command, "command");
    let name = required(name, "name");
    let is_held = required(is_held_by_incidents, "is_held_by_incidents");
    let schema = required(schema, "schema");
    let delete = || -> Result<Value> {
        let command = Command::parse(command)?;
        command.alone_with(name, schema)?;
        command.once(|| {
            if is_held {
                incident::refuse_while_declared()?;
            }
            let before = feature::standing(name, schema)?;
            command.change_flag(name, &json!({ "is_removed": true }), schema)?;
            let after = feature::standing(name, schema)?;
            Ok(json!({ "before": before, "after": after }))
        })
    };
    JsonB(delete().or_raise())
}

/// The state of a flag, held so that nobody else changes it from Slack.
// Holders are quick, but may be stuck, so the wait has a limit.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_hold_feature(name text, environment text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp set lock_timeout = '10s'
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_hold_feature(text, text, text) is
  'the state of a feature flag; until the transaction ends nobody else can change it from Slack in that environment';
revoke execute on function lockstep_api.chatops_hold_feature(text, text, text) from public;
"#)]
fn chatops_hold_feature(
    name: Option<&str>,
    environment: Option<&str>,
    schema: Option<&str>,
) -> JsonB {
    let name = required(name, "name");
    let environment = required(environment, "environment");
    let schema = required(schema, "schema");
    let hold = || -> Result<Value> {
        feature::hold(name, environment, schema)?;
        feature::standing(name, schema)
    };
    JsonB(hold().or_raise())
}

/// The state of a flag.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_feature(name text, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_feature(text, text) is 'how a feature flag stands: its state, and for whom it is on';
revoke execute on function lockstep_api.chatops_feature(text, text) from public;
"#)]
fn chatops_feature(name: Option<&str>, schema: Option<&str>) -> JsonB {
    let name = required(name, "name");
    let schema = required(schema, "schema");
    JsonB(feature::standing(name, schema).or_raise())
}

kept! {
    static LAST_CHANGES: OwnStatement = OwnStatement::new(
        "select a.feature, extract(epoch from clock_timestamp() - max(a.changed_at))::bigint / 86400
           from lockstep.feature_audit a where a.schema = $1 and a.feature is not null group by a.feature",
        &[pg_sys::TEXTOID],
    );
}

/// Flags that are set.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_features(match text default '', unchanged_days bigint default null, max_rows integer default 100,
                                          schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_features(text, bigint, integer, text) is
  'feature flags that are set: those whose name contains a text and that are unchanged for a number of days; their number, and the first of them by name';
revoke execute on function lockstep_api.chatops_features(text, bigint, integer, text) from public;
"#)]
fn chatops_features(
    part: Option<&str>,
    unchanged_days: Option<i64>,
    max_rows: Option<i32>,
    schema: Option<&str>,
) -> JsonB {
    let part = required(part, "match");
    let most = usize::try_from(required(max_rows, "max_rows")).unwrap_or_default();
    let schema = required(schema, "schema");
    let list = || -> Result<Value> {
        let part = part.to_lowercase();
        let mut flags = feature::standings(schema, None)?;
        flags.retain(|flag| flag.name.to_lowercase().contains(&part));
        let mut days: HashMap<String, i64> = HashMap::new();
        LAST_CHANGES.with(|statement| {
            statement.rows(&[datum(schema)], |row| {
                days.extend(row.get::<String>(1).zip(row.get::<i64>(2)));
            })
        })?;
        let mut flags: Vec<Value> = flags
            .into_iter()
            .map(|mut flag| {
                // For flags set before changes were audited, the rows themselves say when they were written.
                let known = days.get(&flag.name).copied();
                let known = known.or_else(|| Some(flag.age? / 86_400));
                flag.value["unchanged_days"] = json!(known);
                flag.value
            })
            .collect();
        if let Some(least) = unchanged_days {
            flags.retain(|flag| {
                flag["unchanged_days"]
                    .as_i64()
                    .is_some_and(|days| days >= least)
            });
        }
        let total = flags.len();
        flags.truncate(most);
        Ok(json!({ "total": total, "features": flags }))
    };
    JsonB(list().or_raise())
}
