//! Removes what is no longer needed.

use super::tables::Tables;
use crate::error::{OrRaise, Result, required};
use crate::own_statement::OwnStatement;
use pgrx::prelude::*;
use std::mem::ManuallyDrop;

struct Own {
    events: OwnStatement,
    states: OwnStatement,
    tickets: OwnStatement,
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Own> = ManuallyDrop::new(Own {
        // Slack delivers an event again for hours, not for days.
        events: OwnStatement::new(
            "delete from lockstep.slack_event e
              where e.received_at < clock_timestamp() - interval '1 day'
                and not exists (select from lockstep.job j where j.id = e.job)",
            &[],
        ),
        states: OwnStatement::new(
            "delete from lockstep.slack_install_state
              where coalesce(taken_at, expires_at) < clock_timestamp() - interval '1 day'",
            &[],
        ),
        tickets: OwnStatement::new(
            "delete from lockstep.slack_install_ticket t
              where coalesce(t.used_at, t.expires_at) < clock_timestamp() - interval '1 day'
                and not exists (select from lockstep.slack_install_state s where s.ticket = t.token_digest)",
            &[],
        ),
    });
}

/// Removes events, states and tickets that have ended a day ago.
#[pg_extern(sql = r#"
create function lockstep.sweep_slack(schema text default 'public')
returns bigint language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.sweep_slack(text) is
  'removes events of Slack older than a day whose job is gone, and states and tickets of installations that ended a day ago; returns how many';
revoke execute on function lockstep.sweep_slack(text) from public;
"#)]
fn sweep_slack(schema: Option<&str>) -> i64 {
    let schema = required(schema, "schema");
    let sweep = || -> Result<i64> {
        Tables::attached(schema)?;
        STATEMENTS.with(|statements| {
            let events = statements.events.run(&[])?;
            let states = statements.states.run(&[])?;
            let tickets = statements.tickets.run(&[])?;
            Ok((events + states + tickets) as i64)
        })
    };
    sweep().or_raise()
}
