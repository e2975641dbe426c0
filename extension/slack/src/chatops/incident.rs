//! Incidents, which block changes in production.

use super::command::Command;
use crate::error::{ChatopsError, OrRaise, Result, required};
use lockstep_server::kept;
use lockstep_server::{Jsonb, OwnStatement, View, datum};
use pgrx::JsonB;
use pgrx::pg_sys;
use pgrx::prelude::*;
use serde_json::{Value, json};

struct Statements {
    lock: OwnStatement,
    holding: OwnStatement,
    declare: OwnStatement,
    close: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        // Declaring an incident waits for changes in progress, and changes wait for a declaration in progress.
        lock: OwnStatement::new("lock table lockstep.chatops_incident in share mode", &[]),
        holding: OwnStatement::new(
            "select i.id, i.severity::bigint, i.title from lockstep.chatops_incident i
              where i.closed_at is null and i.severity <= 2 order by i.severity, i.id limit 1",
            &[],
        ),
        declare: OwnStatement::new(
            "insert into lockstep.chatops_incident (title, severity, declared_by) values ($1, $2, $3) returning id",
            &[pg_sys::TEXTOID, pg_sys::INT4OID, pg_sys::TEXTOID],
        ),
        close: OwnStatement::new(
            "update lockstep.chatops_incident set closed_by = $2, closed_at = clock_timestamp()
              where id = $1 and closed_at is null returning title",
            &[pg_sys::INT8OID, pg_sys::TEXTOID],
        ),
    };
}

/// Refuses changes in production while an incident of severity 1 or 2 is open.
pub(super) fn refuse_while_declared() -> Result<()> {
    STATEMENTS.with(|statements| statements.lock.run(&[]))?;
    let mut holding: Option<ChatopsError> = None;
    STATEMENTS.with(|statements| {
        statements.holding.rows_seeing(View::Newest, &[], |row| {
            holding = Some(ChatopsError::Incident {
                id: row.get(1).unwrap_or_default(),
                severity: row.get(2).unwrap_or_default(),
                title: row.get(3).unwrap_or_default(),
            });
        })
    })?;
    holding.map_or(Ok(()), |error| Err(error.into()))
}

/// Declares an incident.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_declare_incident(command jsonb, title text, severity integer default 2)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_declare_incident(jsonb, text, integer) is
  'declares an incident as a user of Slack asks; one of severity 1 or 2 holds changes of flags in production until it is closed';
revoke execute on function lockstep_api.chatops_declare_incident(jsonb, text, integer) from public;
"#)]
fn chatops_declare_incident(
    command: Option<Jsonb>,
    title: Option<&str>,
    severity: Option<i32>,
) -> JsonB {
    let command = required(command, "command");
    let title = required(title, "title");
    let severity = required(severity, "severity");
    let declare = || -> Result<Value> {
        let command = Command::parse(command)?;
        if title.trim().is_empty() || !(1..=4).contains(&severity) {
            return Err(ChatopsError::IncidentTerms { severity }.into());
        }
        command.once(|| {
            let mut id = 0;
            let arguments = [datum(title), datum(severity), datum(command.user())];
            STATEMENTS.with(|statements| {
                statements.declare.rows(&arguments, |row| {
                    id = row.get::<i64>(1).unwrap_or_default();
                })
            })?;
            Ok(json!({ "id": id, "title": title, "severity": severity }))
        })
    };
    JsonB(declare().or_raise())
}

/// Closes an incident.
#[pg_extern(sql = r#"
create function lockstep_api.chatops_close_incident(command jsonb, incident bigint)
returns jsonb language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.chatops_close_incident(jsonb, bigint) is 'closes an incident as a user of Slack asks';
revoke execute on function lockstep_api.chatops_close_incident(jsonb, bigint) from public;
"#)]
fn chatops_close_incident(command: Option<Jsonb>, incident: Option<i64>) -> JsonB {
    let command = required(command, "command");
    let incident = required(incident, "incident");
    let close = || -> Result<Value> {
        let command = Command::parse(command)?;
        command.once(|| {
            let mut title: Option<String> = None;
            let arguments = [datum(incident), datum(command.user())];
            STATEMENTS.with(|statements| {
                statements.close.rows(&arguments, |row| {
                    title = row.get(1);
                })
            })?;
            match title {
                Some(title) => Ok(json!({ "id": incident, "title": title })),
                None => Err(ChatopsError::NoSuchIncident { id: incident }.into()),
            }
        })
    };
    JsonB(close().or_raise())
}
