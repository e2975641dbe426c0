//! How Slack users choose.

use super::choice::Choice;
use super::quiet::QuietHours;
use super::waiting::settle;
use crate::account::Accounts;
use crate::error::{OrRaise, Result, ServerError, required};
use crate::event::settings::{setting, short, truth};
use crate::event::tables::Tables;
use crate::slack_workspace::workspace;
use jiff::Timestamp;
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, datum, nullable};
use pgrx::JsonB;
use pgrx::pg_sys::{self, Datum};
use pgrx::prelude::*;
use serde_json::{Map, Value};

struct Own {
    create: OwnStatement,
    lock: OwnStatement,
    write: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        create: OwnStatement::new(
            "insert into lockstep_internal.slack_person (schema, team_id, user_id) values ($1, $2, $3) on conflict do nothing",
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
        ),
        lock: OwnStatement::by_index(
            &format!(
                "select {} from lockstep_internal.slack_person p where p.schema = $1 and p.team_id = $2 and p.user_id = $3 for update",
                Choice::COLUMNS
            ),
            &[pg_sys::TEXTOID, pg_sys::TEXTOID, pg_sys::TEXTOID],
            &["schema"],
        ),
        write: OwnStatement::by_index(
            "update lockstep_internal.slack_person p
                set mentions = $4, direct_messages = $5, own_actions = $6, quiet_from = $7::time, quiet_until = $8::time, time_zone = $9
              where p.schema = $1 and p.team_id = $2 and p.user_id = $3",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::BOOLOID,
                pg_sys::BOOLOID,
                pg_sys::BOOLOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
                pg_sys::TEXTOID,
            ],
            &["schema"],
        ),
    };
}

/// Changes and shows what a person has chosen.
#[pg_extern(sql = r#"
create function lockstep_api.set_slack_person(team_id text, enterprise_id text, user_id text, choices jsonb, schema text default 'public')
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.set_slack_person(text, text, text, jsonb, text) is
  'changes the given choices of a Slack user, null to the default: mentions, direct_messages, own_actions, quiet_hours {"from": "22:00", "until": "07:00", "time_zone": "Europe/Berlin"}; returns all of them, and whether a GitLab account is linked';
revoke execute on function lockstep_api.set_slack_person(text, text, text, jsonb, text) from public;
"#)]
fn set_slack_person(
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    user_id: Option<&str>,
    choices: Option<Jsonb>,
    schema: Option<&str>,
) -> JsonB {
    let user = required(user_id, "user_id");
    let choices = required(choices, "choices").0;
    let schema = required(schema, "schema");
    let set = || {
        let tables = Tables::attached(schema)?;
        let team = workspace(&tables, team_id, enterprise_id)?;
        set(&tables, &team, user, &choices)
    };
    JsonB(set().or_raise())
}

fn set(tables: &Tables, team: &str, user: &str, choices: &Value) -> Result<Value> {
    let Value::Object(choices) = choices else {
        return Err(setting("choices", "is not an object"));
    };
    if user.is_empty() || user.chars().count() > MOST_OF_USER {
        return Err(setting("user_id", "is not the id of a user in Slack"));
    }
    let keys = [datum(tables.schema.as_str()), datum(team), datum(user)];
    let mut choice = Choice::default();
    if !choices.is_empty() {
        STATEMENTS.with(|own| own.create.run(&keys))?;
    }
    STATEMENTS.with(|own| own.lock.rows(&keys, |row| choice = Choice::read(row, 0)))?;
    for (name, value) in choices {
        choice.change(name, value)?;
    }
    if !choices.is_empty() {
        write(&choice, keys)?;
        let quiet_hours = choice
            .quiet_hours
            .as_ref()
            .filter(|_| choice.direct_messages);
        let until = quiet_hours.and_then(|hours| hours.left(Timestamp::now()));
        settle(&tables.schema, team, user, choice.direct_messages, until)?;
    }
    let mut shown = serde_json::to_value(&choice).map_err(ServerError::catalog)?;
    let accounts = Accounts::find(&tables.schema)?;
    let is_linked = accounts.is_some_and(|accounts| accounts.is_linked(team, user));
    shown["linked"] = is_linked.into();
    Ok(shown)
}

const MOST_OF_USER: usize = 255;

fn write(choice: &Choice, [schema, team, user]: [Datum; 3]) -> Result<()> {
    let quiet = choice.quiet_hours.as_ref().map(QuietHours::parts);
    let [from, until, zone] = quiet.map_or([None, None, None], |parts| parts.map(Some));
    let arguments = [
        Some(schema),
        Some(team),
        Some(user),
        Some(datum(choice.mentions)),
        Some(datum(choice.direct_messages)),
        Some(datum(choice.own_actions)),
        nullable(from),
        nullable(until),
        nullable(zone),
    ];
    STATEMENTS.with(|own| own.write.run_with_nulls(&arguments))?;
    Ok(())
}

impl Choice {
    fn change(&mut self, name: &str, value: &Value) -> Result<()> {
        let default = Self::default();
        match name {
            "mentions" => self.mentions = truth(name, value, default.mentions)?,
            "direct_messages" => {
                self.direct_messages = truth(name, value, default.direct_messages)?
            }
            "own_actions" => self.own_actions = truth(name, value, default.own_actions)?,
            "quiet_hours" => self.quiet_hours = quiet_hours(name, value)?,
            _ => return Err(setting(short(name), "is not a choice")),
        }
        Ok(())
    }
}

fn quiet_hours(name: &str, value: &Value) -> Result<Option<QuietHours>> {
    let fields: &Map<String, Value> = match value {
        Value::Null => return Ok(None),
        Value::Object(fields) => fields,
        _ => return Err(setting(name, "is not an object")),
    };
    let text = |field: &str| fields.get(field).and_then(Value::as_str);
    let hours = match (text("from"), text("until"), text("time_zone")) {
        (Some(from), Some(until), Some(zone)) if fields.len() == 3 => {
            QuietHours::parse(from, until, zone)
        }
        _ => None,
    };
    let problem = "needs from and until as HH:MM, and time_zone, such as Europe/Berlin";
    hours.map(Some).ok_or_else(|| setting(name, problem))
}
