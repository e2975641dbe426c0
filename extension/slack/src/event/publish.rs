//! Publishing events, one or a batch.

use super::batch::{Answer, Outcome, Received, publish};
use super::read::Flaw;
use crate::error::{EventError, OrRaise, Result, SlackError, required};
use lockstep_server::{jsonb_text, lock_timeout, random_bytes, with_settings};
use pgrx::AnyElement;
use pgrx::prelude::*;
use std::time::Duration;

/// How long a batch of events waits for another publisher.
const PATIENCE: Duration = Duration::from_secs(2);

/// Publishes an event.
#[pg_extern(sql = r#"
create function lockstep.publish_event(event jsonb, key text default null, schema text default 'public')
returns table (integration_id bigint, slack_integration_id bigint, subscription_id bigint, channels text[], outcome text)
language c rows 10 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.publish_event(jsonb, text, text) is
  'publishes an event in the format of GitLab''s webhooks, once per key; returns one row per integration, and per subscription, that could be notified: its channels, or why not';
revoke execute on function lockstep.publish_event(jsonb, text, text) from public;
grant execute on function lockstep.publish_event(jsonb, text, text) to lockstep_admin, lockstep_app;
"#)]
#[allow(clippy::type_complexity)]
fn publish_event(
    event: Option<AnyElement>,
    key: Option<&str>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(integration_id, Option<i64>),
        name!(slack_integration_id, Option<i64>),
        name!(subscription_id, Option<i64>),
        name!(channels, Vec<String>),
        name!(outcome, &'static str),
    ),
> {
    let event = required(event, "event");
    let event = required(jsonb_text(&event), "event");
    let schema = required(schema, "schema");
    let rows = one(&event, key, schema).or_raise();
    TableIterator::new(rows.into_iter().map(|it| {
        let (channels, outcome) = match it.told {
            Ok(channels) => (channels, "queued"),
            Err(reason) => (Vec::new(), reason.name()),
        };
        (
            it.integration,
            it.slack_integration,
            it.subscription,
            channels,
            outcome,
        )
    }))
}

fn one(event: &str, key: Option<&str>, schema: &str) -> Result<Vec<Answer>> {
    let key = key.map_or_else(random_key, |key| Ok(key.to_owned()))?;
    let event = Received {
        text: Some(event),
        key,
        request: None,
    };
    answers(publish(&[event], schema)?.pop())
}

/// The results of one event, or what is wrong with it.
pub(super) fn answers(outcome: Option<Outcome>) -> Result<Vec<Answer>> {
    match outcome {
        Some(Outcome::Published(answers)) => Ok(answers),
        None | Some(Outcome::Duplicate) => Ok(Vec::new()),
        Some(Outcome::Flawed(Flaw::Kind(kind))) => Err(EventError::UnknownKind { kind }.into()),
        Some(Outcome::Flawed(Flaw::Field(field))) => Err(EventError::Field { field }.into()),
        Some(Outcome::Nowhere(place)) => Err(EventError::NoSuchPlace { place }.into()),
    }
}

/// Publishes a batch of events.
#[pg_extern(sql = r#"
create function lockstep_api.publish_events(events json[], keys text[], requests text[] default null, schema text default 'public')
returns table (place integer, outcome text, detail text, deliveries integer)
language c rows 50 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.publish_events(json[], text[], text[], text) is
  'publishes events in their order, each once per key: published, duplicate, unknown_kind, malformed, unknown_project; one that is wrong keeps none of the others back. A request is a webhook and the id of what it sent, with a space between: what one webhook sends again with another id counts again, what another one sends does not';
revoke execute on function lockstep_api.publish_events(json[], text[], text[], text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn publish_events(
    events: Option<Vec<Option<String>>>,
    keys: Option<Vec<Option<String>>>,
    requests: Option<Vec<Option<String>>>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(place, i32),
        name!(outcome, &'static str),
        name!(detail, Option<String>),
        name!(deliveries, i32),
    ),
> {
    let events = required(events, "events");
    let keys = required(keys, "keys");
    let requests = requests.unwrap_or_else(|| vec![None; events.len()]);
    let schema = required(schema, "schema");
    // A publisher with a long transaction must not hold up a batch of others: after a timeout they publish one by one. A caller may
    // be in more of a hurry.
    let is_in_hurry = lock_timeout().is_some_and(|timeout| timeout < PATIENCE);
    let patience: &[_] = match is_in_hurry {
        true => &[],
        false => &[(c"lock_timeout", c"2s")],
    };
    let outcomes = with_settings(patience, || many(&events, keys, &requests, schema));
    let outcomes = outcomes.or_raise();
    TableIterator::new((1..).zip(outcomes).map(|(place, outcome)| {
        let (outcome, detail, deliveries) = match outcome {
            Outcome::Published(answers) => (
                "published",
                None,
                answers.iter().map(Answer::deliveries).sum(),
            ),
            Outcome::Duplicate => ("duplicate", None, 0),
            Outcome::Flawed(Flaw::Kind(kind)) => ("unknown_kind", Some(kind), 0),
            Outcome::Flawed(Flaw::Field(field)) => ("malformed", Some(field), 0),
            Outcome::Nowhere(place) => ("unknown_project", Some(place), 0),
        };
        (place, outcome, detail, deliveries as i32)
    }))
}

fn many(
    events: &[Option<String>],
    keys: Vec<Option<String>>,
    requests: &[Option<String>],
    schema: &str,
) -> Result<Vec<Outcome>> {
    for (name, number) in [("keys", keys.len()), ("requests", requests.len())] {
        if events.len() != number {
            return Err(EventError::Keys {
                events: events.len(),
                name,
                number,
            }
            .into());
        }
    }
    let events = events.iter().zip(keys).zip(requests);
    let events = events.map(|((event, key), request)| {
        Ok(Received {
            text: event.as_deref(),
            key: key.map_or_else(random_key, Ok)?,
            request: request.as_deref(),
        })
    });
    publish(&events.collect::<Result<Vec<_>>>()?, schema)
}

/// A unique key.
fn random_key() -> Result<String> {
    let bytes = random_bytes::<16>().ok_or(SlackError::NoChance)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
