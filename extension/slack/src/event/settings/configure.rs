//! Changing and showing settings.

use super::effective as settings;
use super::effective::{Effective, Settings};
use super::review_reminder::{self, Reminders};
use super::value::setting;
use crate::error::{EventError, OrRaise, Result, ServerError, required};
use crate::event::read::Kind;
use crate::event::tables::{Tables, class};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, Statement, View, datum, keys_argument};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::pg_sys::Datum;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

struct Own {
    create: OwnStatement,
    lock: OwnStatement,
    update: OwnStatement,
    forget: OwnStatement,
    end_troubles: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        create: OwnStatement::new(
            "insert into lockstep_internal.slack_notification (schema, integration_id) values ($1, $2) on conflict (schema, integration_id) do nothing",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        lock: OwnStatement::new(
            &format!(
                "select {} from lockstep_internal.slack_notification s where s.schema = $1 and s.integration_id = $2 for update",
                Settings::COLUMNS
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        forget: OwnStatement::new(
            "delete from lockstep_internal.slack_notification s where s.schema = $1 and s.integration_id = $2",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        // Users are not shown troubles with channels that are no longer notified.
        end_troubles: OwnStatement::new(
            // A sender may be writing one of them: it is removed later.
            "delete from lockstep_internal.slack_channel_trouble t using (
               select o.team_id, o.channel from lockstep_internal.slack_channel_trouble o
                where o.schema = $1 and o.integration_id = $2 and o.channel <> all ($3) for update skip locked) old
              where t.schema = $1 and t.integration_id = $2 and t.team_id = old.team_id and t.channel = old.channel",
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
        ),
        update: OwnStatement::new(
            "update lockstep_internal.slack_notification s
                set channels = $3, event_channels = $4::jsonb, branches = $5, labels = $6, all_labels = $7, only_broken_pipelines = $8,
                    only_changed_pipelines = $9, updates = $10, own_actions = $11, muted_authors = $12, child_pipelines = $13,
                    routes = $14::jsonb, all_routes = $15, mentions = $16, user_groups = $17::jsonb, changes = $18
              where s.schema = $1 and s.integration_id = $2",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8OID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::BOOLOID,
                pg_sys::BOOLOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::BOOLOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
            ],
        ),
    };
}

/// Changes an integration's settings.
#[pg_extern(sql = r#"
create function lockstep.set_slack_notifications(integration_id bigint, settings jsonb, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_slack_notifications(bigint, jsonb, text) is
  'changes the settings that are given of an integration of the Slack app, null to the default; returns all of them, as lockstep.slack_notifications does';
revoke execute on function lockstep.set_slack_notifications(bigint, jsonb, text) from public;
grant execute on function lockstep.set_slack_notifications(bigint, jsonb, text) to lockstep_admin;
"#)]
fn set_slack_notifications(
    integration_id: Option<i64>,
    settings: Option<Jsonb>,
    schema: Option<&str>,
) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let settings = required(settings, "settings").0;
    let schema = required(schema, "schema");
    let set = || {
        let tables = Tables::attached(schema)?;
        set(&tables, integration, &settings, None)?;
        shown(&tables, integration)
    };
    JsonB(set().or_raise())
}

/// Removes an integration's settings.
#[pg_extern(sql = r#"
create function lockstep.reset_slack_notifications(integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.reset_slack_notifications(bigint, text) is
  'removes an integration''s own settings; returns the inherited or default settings, like lockstep.slack_notifications';
revoke execute on function lockstep.reset_slack_notifications(bigint, text) from public;
grant execute on function lockstep.reset_slack_notifications(bigint, text) to lockstep_admin;
"#)]
fn reset_slack_notifications(integration_id: Option<i64>, schema: Option<&str>) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let reset = || {
        let tables = Tables::attached(schema)?;
        reset(&tables, integration, None)?;
        shown(&tables, integration)
    };
    JsonB(reset().or_raise())
}

/// Shows an integration's settings.
#[pg_extern(sql = r#"
create function lockstep.slack_notifications(integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.slack_notifications(bigint, text) is
  'the settings that an integration of the Slack app has, its own or those it inherits; "from" is the integration whose they are, null for the defaults';
revoke execute on function lockstep.slack_notifications(bigint, text) from public;
grant execute on function lockstep.slack_notifications(bigint, text) to lockstep_admin;
"#)]
fn slack_notifications(integration_id: Option<i64>, schema: Option<&str>) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let shown = || shown(&Tables::attached(schema)?, integration);
    JsonB(shown().or_raise())
}

#[derive(Serialize)]
struct Shown<'a> {
    from: Option<i64>,
    #[serde(flatten)]
    settings: &'a Settings,
    review_reminders: &'a Reminders,
}

fn shown(tables: &Tables, integration: i64) -> Result<Value> {
    let reminders = review_reminder::of(&tables.schema, integration)?;
    shown_of(&of(tables, integration)?, &reminders)
}

/// An integration's settings, as shown to users.
pub(super) fn shown_of(effective: &Effective, reminders: &Reminders) -> Result<Value> {
    let shown = Shown {
        from: effective.from,
        settings: &effective.settings,
        review_reminders: reminders,
    };
    serde_json::to_value(shown).map_err(ServerError::catalog)
}

/// The settings of a Slack app integration, which must exist.
pub(crate) fn of(tables: &Tables, integration: i64) -> Result<Effective> {
    let parent = parent_of(tables, integration)?;
    let found = settings::effective(tables, std::iter::once((integration, parent)))?;
    let missing = || EventError::NoSuchIntegration { id: integration };
    Ok(found.into_values().next().ok_or_else(missing)?)
}

/// The integration that it inherits from, if any. It must exist itself.
fn parent_of(tables: &Tables, integration: i64) -> Result<Option<i64>> {
    let mut parent = None;
    let query: &Statement = &tables.statements.parents;
    tables.as_owner(|| {
        query.rows(
            View::Own,
            &[keys_argument(&[integration]), class()],
            |row| {
                parent = Some(row.get(2));
            },
        );
    });
    Ok(parent.ok_or(EventError::NoSuchIntegration { id: integration })?)
}

/// What it has without settings of its own. Only the integration itself must exist.
fn inherited(tables: &Tables, parent: Option<i64>) -> Result<Settings> {
    match parent {
        None => Ok(Settings::default()),
        Some(parent) => {
            let above = parent_of(tables, parent).unwrap_or_default();
            let found = settings::effective(tables, std::iter::once((parent, above)))?;
            let found = found.into_values().next();
            Ok(found.map_or_else(Settings::default, |it| (*it.settings).clone()))
        }
    }
}

/// The row with an integration's own settings, which no other session can change or remove from now on, and whether it is new.
fn held(keys: &[Datum]) -> Result<(Settings, bool)> {
    STATEMENTS.with(|statements| {
        loop {
            let is_new = statements.create.run(keys)? > 0;
            let mut own = None;
            let lock = &statements.lock;
            lock.rows(keys, |row| own = Some(Settings::read(row, 0)))?;
            // Otherwise another session has removed the row while this one waited for it.
            if let Some(own) = own {
                return Ok((own, is_new));
            }
        }
    })
}

/// What an integration had, and what it has now.
pub(super) struct Changed {
    pub(super) before: Settings,
    pub(super) after: Settings,
}

/// Changes the given settings of an integration. Routes and reminders are not changed if they are no longer those of the version that
/// was seen; given as they were seen, they stay as they are now.
pub(super) fn set(
    tables: &Tables,
    integration: i64,
    changes: &Value,
    seen: Option<&str>,
) -> Result<Changed> {
    let Value::Object(changes) = changes else {
        return Err(setting("settings", "is not an object"));
    };
    let schema = tables.schema.as_str();
    let keys = [datum(schema), datum(integration)];
    let (own, is_new) = held(&keys)?;
    // Read only now: whoever held the row before may have changed it.
    let parent = parent_of(tables, integration)?;
    let before = match is_new {
        // Starts from the inherited settings: changing one must not remove the others.
        true => inherited(tables, parent)?,
        false => own,
    };
    let reminders_before = review_reminder::of(schema, integration)?;
    let mut settings = before.clone();
    let mut reminders = reminders_before.clone();
    for (name, value) in changes {
        match name.as_str() {
            review_reminder::SETTING => reminders = review_reminder::read(value)?,
            _ => settings.change(name, value)?,
        }
    }
    if seen.is_some_and(|seen| seen == settings.version(&reminders)) {
        settings.take_routes(&before);
        reminders.clone_from(&reminders_before);
    }
    if !settings.has_same_routes(&before) || reminders != reminders_before {
        check_seen(&before.version(&reminders_before), seen, integration)?;
    }
    if reminders != reminders_before {
        let added = reminders.difference(&reminders_before).cloned().collect();
        let is_told = !settings.channels_of(Kind::MergeRequest).is_empty();
        review_reminder::check_channels(&added, is_told)?;
        review_reminder::set(schema, integration, &reminders)?;
    }
    if is_new && parent.is_some() && settings == before {
        // Nothing is set on the integration itself: the inherited settings may change.
        STATEMENTS.with(|own| own.forget.run(&keys))?;
    } else {
        write(&settings, integration, schema)?;
        end_troubles(tables, integration)?;
    }
    Ok(Changed {
        before,
        after: settings,
    })
}

/// What somebody else has set meanwhile is not replaced by somebody who has not seen it.
fn check_seen(now: &str, seen: Option<&str>, integration: i64) -> Result<()> {
    match seen {
        Some(version) if version != now => {
            Err(EventError::SettingsChanged { id: integration }.into())
        }
        _ => Ok(()),
    }
}

/// Removes an integration's own settings, unless its routes and reminders are no longer those of the version that was seen.
pub(super) fn reset(tables: &Tables, integration: i64, seen: Option<&str>) -> Result<Changed> {
    let keys = [datum(tables.schema.as_str()), datum(integration)];
    let mut own = None;
    STATEMENTS.with(|statements| {
        let lock = &statements.lock;
        lock.rows(&keys, |row| own = Some(Settings::read(row, 0)))
    })?;
    // A row that was added since then is not removed: nobody has looked at it.
    if let Some(own) = &own {
        let reminders = review_reminder::of(&tables.schema, integration)?;
        check_seen(&own.version(&reminders), seen, integration)?;
        STATEMENTS.with(|own| own.forget.run(&keys))?;
    }
    review_reminder::set(&tables.schema, integration, &Reminders::new())?;
    let after = inherited(tables, parent_of(tables, integration)?)?;
    end_troubles(tables, integration)?;
    Ok(Changed {
        before: own.unwrap_or_else(|| after.clone()),
        after,
    })
}

/// Including troubles with channels that the integration no longer has.
fn end_troubles(tables: &Tables, integration: i64) -> Result<()> {
    let channels: Vec<String> = told(tables, integration)?.into_iter().collect();
    let arguments = [
        datum(tables.schema.as_str()),
        datum(integration),
        datum(channels),
    ];
    STATEMENTS.with(|own| own.end_troubles.run(&arguments))?;
    Ok(())
}

/// Every channel that an integration notifies of anything.
pub(crate) fn channels_now(schema: &str, integration: i64) -> Result<BTreeSet<String>> {
    told(&Tables::attached(schema)?, integration)
}

fn told(tables: &Tables, integration: i64) -> Result<BTreeSet<String>> {
    let settings = of(tables, integration)?.settings;
    let reminders = review_reminder::of(&tables.schema, integration)?;
    let reminded = review_reminder::channels_of(&reminders);
    let channels = settings.all_channels().into_iter().chain(reminded);
    Ok(channels.map(str::to_owned).collect())
}

fn write(settings: &Settings, integration: i64, schema: &str) -> Result<()> {
    let event_channels = serde_json::to_string(&settings.event_channels).unwrap_or_default();
    let routes = serde_json::to_string(&settings.routes).map_err(ServerError::catalog)?;
    let user_groups = serde_json::to_string(&settings.user_groups).map_err(ServerError::catalog)?;
    let arguments = [
        datum(schema),
        datum(integration),
        datum(settings.channels.clone()),
        datum(event_channels),
        datum(settings.branches.name()),
        datum(settings.labels.clone()),
        datum(settings.all_labels),
        datum(settings.only_broken_pipelines),
        datum(settings.only_changed_pipelines),
        datum(settings.updates.name()),
        datum(settings.own_actions),
        datum(settings.muted_authors.clone()),
        datum(settings.child_pipelines),
        datum(routes),
        datum(settings.all_routes),
        datum(settings.mentions),
        datum(user_groups),
        datum(settings.changes.clone()),
    ];
    match STATEMENTS.with(|own| own.update.run(&arguments))? {
        1 => Ok(()),
        _ => Err(ServerError::catalog(
            "the row of settings that is held does not exist",
        )),
    }
}
