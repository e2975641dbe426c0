//! A command from Slack, executed once however often it is delivered.

use super::feature;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

struct Statements {
    begin: OwnStatement,
    end: OwnStatement,
    earlier: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // Waits if another delivery of the same command is being executed.
        begin: OwnStatement::new(
            "insert into lockstep.chatops_command (trigger_id, user_id, environment, team_id, user_name, channel_id, command, request)
             values ($1, $2, $3, $4, $5, $6, $7, $8)
             on conflict (trigger_id, user_id, environment) do nothing",
            &[pg_sys::TEXTOID; 8],
        ),
        end: OwnStatement::new(
            "update lockstep.chatops_command set result = $4::jsonb where trigger_id = $1 and user_id = $2 and environment = $3",
            &[pg_sys::TEXTOID; 4],
        ),
        earlier: OwnStatement::new(
            "select c.request, c.result::text from lockstep.chatops_command c
              where c.trigger_id = $1 and c.user_id = $2 and c.environment = $3",
            &[pg_sys::TEXTOID; 3],
        ),
    };
}

/// Whether a command was executed.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_was_done(command jsonb)
returns boolean language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_was_done(jsonb) is 'whether a command of a user of Slack was done by an earlier delivery of it';
revoke execute on function lockstep_api.chatops_was_done(jsonb) from public;
"#)]
fn chatops_was_done(command: Option<Jsonb>) -> bool {
    let command = required(command, "command");
    let was_done = || Ok(Command::parse(command)?.earlier()?.is_some());
    was_done().or_raise()
}

/// Who gave the command, and where.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Command {
    /// Slack's id of the command, the same for each delivery.
    trigger_id: String,
    /// The id of the delivery, the same for each attempt.
    request: String,
    team_id: String,
    user_id: String,
    #[serde(default)]
    user_name: String,
    #[serde(default)]
    channel_id: String,
    text: String,
    #[serde(default)]
    environment: String,
}

impl Command {
    pub(super) fn parse(value: Jsonb) -> Result<Self> {
        let command: Self =
            serde_json::from_value(value.0).map_err(|error| ChatopsError::Command {
                message: error.to_string(),
            })?;
        let refused = |what: &str| {
            Err(ChatopsError::Command {
                message: what.to_owned(),
            }
            .into())
        };
        let key = [
            (&command.trigger_id, 255),
            (&command.user_id, 100),
            (&command.environment, 100),
        ];
        match key {
            _ if command.trigger_id.is_empty() || command.user_id.is_empty() => {
                refused("trigger_id or user_id is empty")
            }
            key if key.iter().any(|(text, most)| text.chars().count() > *most) => {
                refused("trigger_id, user_id or environment is too long")
            }
            _ => Ok(command),
        }
    }

    /// Does the work unless it was already done, and then returns the first result. An error leaves no trace.
    pub(super) fn once(&self, work: impl FnOnce() -> Result<Value>) -> Result<Value> {
        let key = [&self.trigger_id, &self.user_id, &self.environment];
        let mut all = key.map(|text| datum(text.as_str())).to_vec();
        let more = [
            &self.team_id,
            &self.user_name,
            &self.channel_id,
            &self.text,
            &self.request,
        ];
        all.extend(more.map(|text| datum(text.as_str())));
        let key = key.map(|text| datum(text.as_str()));
        if STATEMENTS.with(|statements| statements.begin.run(&all))? == 0 {
            let (request, result) = self.earlier()?.unwrap_or_default();
            let result: Value = serde_json::from_str(&result).unwrap_or_default();
            return Ok(
                json!({ "repeated": request != self.request, "was_done": true, "result": result }),
            );
        }
        let result = work()?;
        let text = result.to_string();
        let [trigger, user, environment] = key;
        let arguments = [trigger, user, environment, datum(text)];
        STATEMENTS.with(|statements| statements.end.run(&arguments))?;
        Ok(json!({ "repeated": false, "was_done": false, "result": result }))
    }

    /// The id of the delivery that executed it, and the result.
    fn earlier(&self) -> Result<Option<(String, String)>> {
        let key = [&self.trigger_id, &self.user_id, &self.environment];
        let key = key.map(|text| datum(text.as_str()));
        let mut earlier = None;
        STATEMENTS.with(|statements| {
            statements.earlier.rows(&key, |row| {
                earlier = row.get(1).zip(row.get(2));
            })
        })?;
        Ok(earlier)
    }

    /// Waits until nobody else is changing the flag from Slack.
    pub(super) fn alone_with(&self, name: &str, schema: &str) -> Result<()> {
        feature::hold(name, &self.environment, schema)
    }

    /// The workspace in which it was given.
    pub(super) fn team(&self) -> &str {
        &self.team_id
    }

    /// Changes a flag; the audit names the user who gave the command.
    /// Returns the actors that it was turned off for but stays on.
    pub(super) fn change_flag(
        &self,
        name: &str,
        wish: &Value,
        schema: &str,
    ) -> Result<Vec<String>> {
        let source = format!("slack {} {}", self.team_id, self.channel_id);
        feature::set(name, wish, &self.user_id, source.trim_end(), schema)
    }

    /// The user, in readable form.
    pub(super) fn user(&self) -> String {
        match self.user_name.is_empty() {
            true => self.user_id.clone(),
            false => format!("{} ({})", self.user_name, self.user_id),
        }
    }
}
