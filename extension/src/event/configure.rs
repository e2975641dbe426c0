//! Settings are changed, and shown.

use super::kind::Kind;
use super::settings::{self, Branches, Effective, Settings, Updates};
use super::tables::{Tables, class};
use crate::error::{EventError, OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use crate::statement::{Statement, View, datum, keys_argument};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;

/// Channels of an event, at most, as the host has it.
const MOST_CHANNELS: usize = 10;
/// Characters of a channel, as Slack has it.
const MOST_OF_CHANNEL: usize = 80;
/// Labels and authors, at most, and characters of each.
const MOST_NAMES: usize = 100;
const MOST_OF_NAME: usize = 255;

struct Own {
    create: OwnStatement,
    lock: OwnStatement,
    update: OwnStatement,
    forget: OwnStatement,
    end_troubles: OwnStatement,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Own> = ManuallyDrop::new(Own {
        create: OwnStatement::new(
            "insert into lockstep.slack_notification (schema, integration_id) values ($1, $2) on conflict (schema, integration_id) do nothing",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        lock: OwnStatement::new(
            &format!(
                "select {} from lockstep.slack_notification s where s.schema = $1 and s.integration_id = $2 for update",
                Settings::COLUMNS
            ),
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        forget: OwnStatement::new(
            "delete from lockstep.slack_notification s where s.schema = $1 and s.integration_id = $2",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        // Nobody is to be told of channels that are told of nothing any more.
        end_troubles: OwnStatement::new(
            "delete from lockstep.slack_channel_trouble t where t.schema = $1 and t.integration_id = $2 and t.channel <> all ($3)",
            &[pg_sys::TEXTOID, pg_sys::INT8OID, pg_sys::TEXTARRAYOID],
        ),
        update: OwnStatement::new(
            "update lockstep.slack_notification s
                set channels = $3, event_channels = $4::jsonb, branches = $5, labels = $6, all_labels = $7, only_broken_pipelines = $8,
                    only_changed_pipelines = $9, updates = $10, own_actions = $11, muted_authors = $12
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
            ],
        ),
    });
}

/// Changes settings of an integration.
#[pg_extern(sql = r#"
create function lockstep.set_slack_notifications(integration_id bigint, settings jsonb, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_slack_notifications(bigint, jsonb, text) is
  'changes the settings that are given of an integration of the Slack app, null to the default; returns all of them, as lockstep.slack_notifications does';
revoke execute on function lockstep.set_slack_notifications(bigint, jsonb, text) from public;
"#)]
fn set_slack_notifications(
    integration_id: Option<i64>,
    settings: Option<JsonB>,
    schema: Option<&str>,
) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let settings = required(settings, "settings").0;
    let schema = required(schema, "schema");
    let set = || {
        let tables = Tables::attached(schema)?;
        set(&tables, integration, &settings)?;
        shown(&tables, integration)
    };
    JsonB(set().or_raise())
}

/// Takes away the settings of an integration.
#[pg_extern(sql = r#"
create function lockstep.reset_slack_notifications(integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.reset_slack_notifications(bigint, text) is
  'takes away the settings of its own that an integration of the Slack app has; returns those it inherits now, or the defaults, as lockstep.slack_notifications does';
revoke execute on function lockstep.reset_slack_notifications(bigint, text) from public;
"#)]
fn reset_slack_notifications(integration_id: Option<i64>, schema: Option<&str>) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let reset = || {
        let tables = Tables::attached(schema)?;
        of(&tables, integration)?;
        STATEMENTS.with(|own| own.forget.run(&[datum(schema), datum(integration)]))?;
        end_troubles(&tables, integration)?;
        shown(&tables, integration)
    };
    JsonB(reset().or_raise())
}

/// Shows the settings of an integration.
#[pg_extern(sql = r#"
create function lockstep.slack_notifications(integration_id bigint, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.slack_notifications(bigint, text) is
  'the settings that an integration of the Slack app has, its own or those it inherits; "from" is the integration whose they are, null for the defaults';
revoke execute on function lockstep.slack_notifications(bigint, text) from public;
"#)]
fn slack_notifications(integration_id: Option<i64>, schema: Option<&str>) -> JsonB {
    let integration = required(integration_id, "integration_id");
    let schema = required(schema, "schema");
    let shown = || shown(&*Tables::attached(schema)?, integration);
    JsonB(shown().or_raise())
}

#[derive(Serialize)]
struct Shown<'a> {
    from: Option<i64>,
    #[serde(flatten)]
    settings: &'a Settings,
}

/// The settings of an integration, as they are shown.
pub(super) fn shown(tables: &Tables, integration: i64) -> Result<Value> {
    let Effective { settings, from } = of(tables, integration)?;
    let shown = Shown {
        from,
        settings: &settings,
    };
    serde_json::to_value(shown).map_err(|error| crate::error::Error::Catalog {
        message: error.to_string(),
    })
}

/// The settings of an integration of the Slack app, which must exist.
pub(super) fn of(tables: &Tables, integration: i64) -> Result<Effective> {
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
    let missing = || EventError::NoSuchIntegration { id: integration };
    let parent = parent.ok_or_else(missing)?;
    let found = settings::effective(tables, std::iter::once((integration, parent)))?;
    Ok(found.into_values().next().ok_or_else(missing)?)
}

/// Changes what is given of the settings of an integration.
pub(super) fn set(tables: &Tables, integration: i64, changes: &Value) -> Result<()> {
    let Value::Object(changes) = changes else {
        return Err(setting("settings", "is not an object"));
    };
    // What it inherits is what it begins with: to change one thing must not take away the rest.
    let inherited = of(tables, integration)?;
    let schema = tables.schema.as_str();
    let keys = [datum(schema), datum(integration)];
    let mut settings = None;
    let is_new = STATEMENTS.with(|own| own.create.run(&keys))? > 0;
    STATEMENTS.with(|own| {
        own.lock
            .rows(&keys, |row| settings = Some(Settings::read(row, 0)))
    })?;
    let mut settings = match (is_new, settings) {
        (false, Some(settings)) => settings,
        _ => (*inherited.settings).clone(),
    };
    for (name, value) in changes {
        settings.change(name, value)?;
    }
    let is_inherited = inherited.from.is_some_and(|from| from != integration);
    if is_new && is_inherited && settings == *inherited.settings {
        // Nothing is its own: what it inherits may change.
        STATEMENTS.with(|own| own.forget.run(&keys))?;
        return Ok(());
    }
    write(&settings, integration, schema)?;
    end_troubles(tables, integration)
}

/// With channels that are none of the integration's any more.
fn end_troubles(tables: &Tables, integration: i64) -> Result<()> {
    let settings = of(tables, integration)?.settings;
    let arguments = [
        datum(tables.schema.as_str()),
        datum(integration),
        datum(settings.all_channels()),
    ];
    STATEMENTS.with(|own| own.end_troubles.run(&arguments))?;
    Ok(())
}

/// Every channel that an integration tells of anything.
pub(crate) fn channels_now(schema: &str, integration: i64) -> Result<BTreeSet<String>> {
    let settings = of(&*Tables::attached(schema)?, integration)?.settings;
    let channels = settings.all_channels().into_iter();
    Ok(channels.map(str::to_owned).collect())
}

fn write(settings: &Settings, integration: i64, schema: &str) -> Result<()> {
    let event_channels = serde_json::to_string(&settings.event_channels).unwrap_or_default();
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
    ];
    STATEMENTS.with(|own| own.update.run(&arguments))?;
    Ok(())
}

fn setting(path: impl Into<String>, problem: impl Into<String>) -> crate::error::Error {
    EventError::Setting {
        path: path.into(),
        problem: problem.into(),
    }
    .into()
}

impl Settings {
    /// Changes one setting; null brings the default back.
    fn change(&mut self, name: &str, value: &Value) -> Result<()> {
        let default = Self::default();
        match name {
            "channels" => self.channels = channels(name, value)?,
            "event_channels" => return self.change_event_channels(value),
            "branches" => {
                self.branches = one_of(
                    name,
                    value,
                    &Branches::ALL,
                    Branches::name,
                    default.branches,
                )?
            }
            "labels" => {
                let labels = list(name, value)?;
                let labels = labels.into_iter().map(|label| label.replace('~', ""));
                self.labels = names(name, labels.collect())?;
            }
            "all_labels" => self.all_labels = truth(name, value, default.all_labels)?,
            "only_broken_pipelines" => {
                self.only_broken_pipelines = truth(name, value, default.only_broken_pipelines)?
            }
            "only_changed_pipelines" => {
                self.only_changed_pipelines = truth(name, value, default.only_changed_pipelines)?
            }
            "updates" => {
                self.updates = one_of(name, value, &Updates::ALL, Updates::name, default.updates)?
            }
            "own_actions" => self.own_actions = truth(name, value, default.own_actions)?,
            "muted_authors" => {
                let authors = list(name, value)?;
                let authors = authors
                    .into_iter()
                    .map(|author| author.strip_prefix('@').unwrap_or(&author).to_owned());
                self.muted_authors = names(name, authors.collect())?;
            }
            _ => return Err(setting(short(name), "is not a setting")),
        }
        Ok(())
    }

    fn change_event_channels(&mut self, value: &Value) -> Result<()> {
        let events = match value {
            Value::Null => {
                self.event_channels = BTreeMap::new();
                return Ok(());
            }
            Value::Object(events) => events,
            _ => return Err(setting("event_channels", "is not an object")),
        };
        for (event, value) in events {
            let path = format!("event_channels.{}", short(event));
            if Kind::of_name(event).is_none() {
                return Err(setting(path, "is not an event"));
            }
            let channels = channels(&path, value)?;
            match channels.is_empty() {
                true => self.event_channels.remove(event),
                false => self.event_channels.insert(event.clone(), channels),
            };
        }
        Ok(())
    }
}

/// As much of a name as is repeated.
fn short(name: &str) -> String {
    name.chars().take(50).collect()
}

fn truth(name: &str, value: &Value, default: bool) -> Result<bool> {
    match value {
        Value::Null => Ok(default),
        Value::Bool(truth) => Ok(*truth),
        _ => Err(setting(name, "is not a boolean")),
    }
}

fn one_of<T: Copy>(
    name: &str,
    value: &Value,
    all: &[T],
    name_of: fn(T) -> &'static str,
    default: T,
) -> Result<T> {
    if value.is_null() {
        return Ok(default);
    }
    let found = all.iter().find(|it| value.as_str() == Some(name_of(**it)));
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = all.iter().map(|it| name_of(*it)).collect();
        setting(name, format!("is none of {}", names.join(", ")))
    })
}

/// A list of texts, or one text of them with commas, each once.
fn list(path: &str, value: &Value) -> Result<Vec<String>> {
    let items: Vec<&str> = match value {
        Value::Null => Vec::new(),
        Value::String(text) => text.split(',').collect(),
        Value::Array(items) => {
            let texts = items.iter().enumerate().map(|(place, item)| {
                let text = item.as_str();
                text.ok_or_else(|| setting(format!("{path}[{place}]"), "is not a text"))
            });
            texts.collect::<Result<_>>()?
        }
        _ => return Err(setting(path, "is neither a list nor a text")),
    };
    let mut list: Vec<String> = Vec::new();
    for item in items.into_iter().map(str::trim) {
        if !item.is_empty() && !list.iter().any(|it| it == item) {
            list.push(item.to_owned());
        }
    }
    Ok(list)
}

/// Names have their #, so that each is written in one way; ids are as Slack has them, in capitals, which names have not.
fn channels(path: &str, value: &Value) -> Result<Vec<String>> {
    let mut channels: Vec<String> = Vec::new();
    for channel in list(path, value)? {
        let is_named = channel.starts_with('#') || is_id(&channel);
        let channel = if is_named {
            channel
        } else {
            format!("#{channel}")
        };
        if !channels.contains(&channel) {
            channels.push(channel);
        }
    }
    if channels.len() > MOST_CHANNELS {
        return Err(setting(
            path,
            format!("has more than {MOST_CHANNELS} channels"),
        ));
    }
    for channel in &channels {
        let name = channel.strip_prefix('#').unwrap_or(channel);
        let is_wrong = |letter: char| {
            letter.is_whitespace() || is_unseen(letter) || "#,@<>&\"'`".contains(letter)
        };
        if name.is_empty() || name.chars().count() > MOST_OF_CHANNEL || name.contains(is_wrong) {
            return Err(setting(
                path,
                format!(
                    "has \"{}\", which is neither a name nor an id of a channel",
                    short(channel)
                ),
            ));
        }
    }
    Ok(channels)
}

/// What nobody sees in a name, or what turns the order of its letters.
fn is_unseen(letter: char) -> bool {
    const MARKS: [std::ops::RangeInclusive<char>; 5] = [
        '\u{ad}'..='\u{ad}',
        '\u{200b}'..='\u{200f}',
        '\u{202a}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
    ];
    letter.is_control() || MARKS.iter().any(|marks| marks.contains(&letter))
}

fn is_id(channel: &str) -> bool {
    let mut letters = channel.bytes();
    letters
        .next()
        .is_some_and(|first| b"CDGUW".contains(&first))
        && channel.len() > 1
        && letters.all(|letter| letter.is_ascii_uppercase() || letter.is_ascii_digit())
}

/// Names of the host, each once.
fn names(path: &str, names: Vec<String>) -> Result<Vec<String>> {
    let mut unique: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if !name.is_empty() && !unique.iter().any(|it| it == name) {
            unique.push(name.to_owned());
        }
    }
    if unique.len() > MOST_NAMES {
        return Err(setting(path, format!("has more than {MOST_NAMES} names")));
    }
    match unique
        .iter()
        .any(|name| name.chars().count() > MOST_OF_NAME)
    {
        true => Err(setting(
            path,
            format!("has a name of more than {MOST_OF_NAME} characters"),
        )),
        false => Ok(unique),
    }
}
