//! Events from Slack, each processed once however often it is delivered.

use super::host::Tables;
use super::installed::{uninstall, unlink_accounts};
use super::job::enqueue;
use crate::error::{OrRaise, Result, SlackError, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, datum};
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::Value;

const APP_HOME: &str = "Slack::AppHomeWorker";

/// The prefix of the Slack app's worker names.
const OF_APP: &str = "Slack::";

/// Maximum length of an id.
const MOST_OF_ID: usize = 255;

struct Own {
    record: OwnStatement,
    set_job: OwnStatement,
    dead_job: OwnStatement,
    retry: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        // Waits for another delivery of the same event, and takes its place if that one rolls back.
        record: OwnStatement::new(
            "insert into lockstep_internal.slack_event (event_id) values ($1) on conflict (event_id) do nothing",
            &[pg_sys::TEXTOID],
        ),
        set_job: OwnStatement::new(
            "update lockstep_internal.slack_event set job = $2 where event_id = $1",
            &[pg_sys::TEXTOID, pg_sys::INT8OID],
        ),
        dead_job: OwnStatement::new(
            "select j.id from lockstep_internal.slack_event e join lockstep_internal.job j on j.id = e.job
              where e.event_id = $1 and j.status = 'dead' for update of j",
            &[pg_sys::TEXTOID],
        ),
        retry: OwnStatement::new("select lockstep.retry_job($1)", &[pg_sys::INT8OID]),
    };
}

/// Receives an event.
#[pg_extern(sql = r#"
create function lockstep_api.receive_slack_event(event_id text, event_type text, team_id text, enterprise_id text, event_time timestamptz, args jsonb,
  schema text default 'public')
returns text language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.receive_slack_event(text, text, text, text, timestamptz, jsonb, text) is
  'does what an event of Slack asks for, once: done, queued, ignored; duplicate if it was received before, again if its job was dead';
revoke execute on function lockstep_api.receive_slack_event(text, text, text, text, timestamptz, jsonb, text) from public;
"#)]
fn receive_slack_event(
    event_id: Option<&str>,
    event_type: Option<&str>,
    team_id: Option<&str>,
    enterprise_id: Option<&str>,
    event_time: Option<TimestampWithTimeZone>,
    args: Option<Jsonb>,
    schema: Option<&str>,
) -> &'static str {
    let event = Event {
        id: required(event_id, "event_id"),
        team: team_id,
        enterprise: enterprise_id,
        time: required(event_time, "event_time"),
        args: &required(args, "args").0,
        schema: required(schema, "schema"),
    };
    event.receive(required(event_type, "event_type")).or_raise()
}

struct Event<'a> {
    id: &'a str,
    team: Option<&'a str>,
    enterprise: Option<&'a str>,
    time: TimestampWithTimeZone,
    args: &'a Value,
    schema: &'a str,
}

impl Event<'_> {
    fn receive(&self, kind: &str) -> Result<&'static str> {
        Tables::attached(self.schema)?;
        if self.id.is_empty() {
            return Err(SlackError::Empty { name: "event_id" }.into());
        }
        if self.id.chars().count() > MOST_OF_ID {
            return Err(SlackError::TooLong {
                name: "event_id",
                most: MOST_OF_ID,
            }
            .into());
        }
        if !matches!(
            kind,
            "app_uninstalled" | "tokens_revoked" | "app_home_opened"
        ) {
            return Ok("ignored");
        }
        let is_new = STATEMENTS.with(|statements| statements.record.run(&[datum(self.id)]))? > 0;
        if !is_new {
            return self.receive_again();
        }
        match kind {
            "app_home_opened" => self.enqueue(),
            "tokens_revoked" if !self.revokes_bot() => Ok("done"),
            // An event about a workspace must not affect its organization, even if nothing of the workspace is left.
            _ => {
                let given = |id: Option<&str>| id.filter(|id| !id.is_empty()).map(str::to_owned);
                let team = given(self.team).or_else(|| given(self.enterprise));
                let team = team.ok_or(SlackError::NoWorkspace)?;
                let is_gone = uninstall(&team, Some(self.time), self.schema)?.is_some();
                if is_gone && kind == "app_uninstalled" {
                    unlink_accounts(&team, self.schema)?;
                }
                Ok("done")
            }
        }
    }

    /// A job that failed for good is retried, because somebody still waits for its effect.
    fn receive_again(&self) -> Result<&'static str> {
        let mut dead = None;
        STATEMENTS.with(|statements| {
            statements
                .dead_job
                .rows(&[datum(self.id)], |row| dead = row.get::<i64>(1))
        })?;
        match dead {
            Some(job) => {
                let retry = [datum(job)];
                STATEMENTS.with(|statements| statements.retry.rows(&retry, |_| {}))?;
                Ok("again")
            }
            None => Ok("duplicate"),
        }
    }

    fn enqueue(&self) -> Result<&'static str> {
        let job = enqueue(APP_HOME, self.args, None)?;
        STATEMENTS.with(|statements| statements.set_job.run(&[datum(self.id), datum(job)]))?;
        Ok("queued")
    }

    /// User tokens may be revoked while the bot token stays valid.
    fn revokes_bot(&self) -> bool {
        let tokens = self.args.pointer("/tokens/bot").and_then(Value::as_array);
        tokens.is_some_and(|tokens| !tokens.is_empty())
    }
}

/// Enqueues a job of the Slack app, and no other.
#[pg_extern(sql = r#"
create function lockstep_api.enqueue_slack_job(worker text, args jsonb, unique_key text default null, schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.enqueue_slack_job(text, jsonb, text, text) is
  'enqueues a job of a worker whose name begins with Slack::; returns its number';
revoke execute on function lockstep_api.enqueue_slack_job(text, jsonb, text, text) from public;
"#)]
fn enqueue_slack_job(
    worker: Option<&str>,
    args: Option<Jsonb>,
    unique_key: Option<&str>,
    schema: Option<&str>,
) -> i64 {
    let worker = required(worker, "worker");
    let args = required(args, "args").0;
    let schema = required(schema, "schema");
    let checked = || -> Result<i64> {
        Tables::attached(schema)?;
        if !worker.starts_with(OF_APP) {
            return Err(SlackError::Worker {
                worker: worker.chars().take(50).collect(),
            }
            .into());
        }
        enqueue(worker, &args, unique_key)
    };
    checked().or_raise()
}
