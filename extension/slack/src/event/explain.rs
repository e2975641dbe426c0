//! Which routes an event takes, and who would be notified, without notifying anybody.

use super::batch::{Received, explain};
use super::publish::answers;
use crate::error::{OrRaise, Result, required};
use lockstep_server::jsonb_text;
use pgrx::AnyElement;
use pgrx::prelude::*;

type Row = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i32>,
    Option<i64>,
    Vec<String>,
    &'static str,
);

/// Explains an event.
#[pg_extern(sql = r#"
create function lockstep.explain_event(event jsonb, schema text default 'public')
returns table (integration_id bigint, slack_integration_id bigint, subscription_id bigint, route integer, user_id bigint, channels text[], outcome text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.explain_event(jsonb, text) is
  'what lockstep.publish_event would do with an event, without doing it: for each integration that could be notified a row per route, with taken, passed, or the condition that does not hold; one without a route, with all channels, or why there are none; and for each person that it is for (user_id), whether messages mention them, and whether they get a direct message, if they want any; and the same rows for each channel that has subscribed to the project';
revoke execute on function lockstep.explain_event(jsonb, text) from public;
grant execute on function lockstep.explain_event(jsonb, text) to lockstep_admin;
"#)]
#[allow(clippy::type_complexity)]
fn explain_event(
    event: Option<AnyElement>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(integration_id, Option<i64>),
        name!(slack_integration_id, Option<i64>),
        name!(subscription_id, Option<i64>),
        name!(route, Option<i32>),
        name!(user_id, Option<i64>),
        name!(channels, Vec<String>),
        name!(outcome, &'static str),
    ),
> {
    let event = required(event, "event");
    let event = required(jsonb_text(&event), "event");
    let schema = required(schema, "schema");
    TableIterator::new(rows(&event, schema).or_raise())
}

fn rows(event: &str, schema: &str) -> Result<Vec<Row>> {
    let event = Received {
        text: Some(event),
        key: "explained".to_owned(),
        request: None,
    };
    let mut rows = Vec::new();
    for it in answers(explain(&[event], schema)?.pop())? {
        let row = |route, user, channels, outcome| -> Row {
            let (integration, installed) = (it.integration, it.slack_integration);
            (
                integration,
                installed,
                it.subscription,
                route,
                user,
                channels,
                outcome,
            )
        };
        for (place, (channels, verdict)) in (1..).zip(it.routes) {
            rows.push(row(Some(place), None, channels, verdict.name()));
        }
        let (channels, outcome) = match it.told {
            Ok(channels) => (channels, "queued"),
            Err(reason) => (Vec::new(), reason.name()),
        };
        for person in &it.persons {
            let user = Some(person.user);
            let mention = person.mention.name();
            let slack_user = Vec::from_iter(person.slack_user.clone());
            rows.push(row(None, user, Vec::new(), mention));
            if let Some(direct) = person.direct {
                rows.push(row(None, user, slack_user, direct.name()));
            }
        }
        rows.push(row(None, None, channels, outcome));
    }
    Ok(rows)
}
