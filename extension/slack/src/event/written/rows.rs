//! Writes events and deliveries, with one statement each for a whole batch.

use super::channel::Channel;
use crate::error::Result;
use crate::held::DELIVERIES;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::datum::JsonString;
use pgrx::pg_sys;
use std::borrow::Cow;
use std::collections::HashMap;

struct Own {
    events: OwnStatement,
    forget: OwnStatement,
    deliveries: OwnStatement,
}

kept! {
    static STATEMENTS: Own = Own {
        // Waits for another session that publishes the same event, and takes its place if that one rolls back.
        events: OwnStatement::new(
            "insert into lockstep_internal.event (schema, key, project_id, payload, requests)
             select $1, t.key, t.project_id, t.payload, case when t.request is not null then array[t.request] end
               from unnest($2, $3, $4, $5) t (key, project_id, payload, request)
             on conflict (schema, key) do nothing returning id, key",
            &[
                pg_sys::TEXTOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::JSONARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
        ),
        forget: OwnStatement::by_index(
            "update lockstep_internal.event e set payload = null where e.id = any ($1)",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        // In the order of the arrays, so that ids have the same order.
        deliveries: OwnStatement::new(
            "insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, subscription_id, channel, lane, mentions, not_before)
             select $1, t.event, t.integration, t.slack_integration, t.subscription, t.channel, t.lane, t.mentions,
                    clock_timestamp() + t.wait * interval '1 microsecond'
               from unnest($2, $3, $4, $5, $6, $7, $8, $9) t (event, integration, slack_integration, subscription, channel, lane, mentions, wait)
             returning id",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8ARRAYOID,
            ],
        ),
    };
}

/// An event to write.
pub(crate) struct NewEvent<'a> {
    pub(crate) key: String,
    /// None if it happened in a group, or an integration sends it by itself.
    pub(crate) project: Option<i64>,
    /// If anybody might be notified.
    pub(crate) payload: Option<Cow<'a, str>>,
    /// How it came, if by a webhook.
    pub(crate) request: Option<&'a str>,
}

/// Writes events; returns the ids of the new ones by key.
pub(crate) fn events(mut events: Vec<NewEvent>, schema: &str) -> Result<HashMap<String, i64>> {
    let mut ids = HashMap::with_capacity(events.len());
    if events.is_empty() {
        return Ok(ids);
    }
    // In key order, so that two sessions that publish the same events do not deadlock.
    events.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    let projects: Vec<Option<i64>> = events.iter().map(|it| it.project).collect();
    let requests: Vec<Option<&str>> = events.iter().map(|it| it.request).collect();
    let (keys, payloads): (Vec<String>, Vec<Option<JsonString>>) = events
        .into_iter()
        .map(|it| (it.key, it.payload.map(|text| JsonString(text.into_owned()))))
        .unzip();
    let arguments = [
        datum(schema),
        datum(keys),
        datum(projects),
        datum(payloads),
        datum(requests),
    ];
    STATEMENTS.with(|own| {
        own.events.rows(&arguments, |row| {
            ids.extend(row.get::<String>(2).zip(row.get(1)));
        })
    })?;
    Ok(ids)
}

/// Removes the payloads of events that nobody is notified of after all.
pub(crate) fn forget_payloads(events: &[i64]) -> Result<()> {
    if !events.is_empty() {
        STATEMENTS.with(|own| own.forget.run(&[keys_argument(events)]))?;
    }
    Ok(())
}

/// Why a channel is notified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// An integration has it, in this workspace row.
    Integration { id: i64, row: i64 },
    /// It has subscribed to the project.
    Subscription(i64),
}

impl Source {
    fn integration(self) -> Option<i64> {
        match self {
            Self::Integration { id, .. } => Some(id),
            Self::Subscription(_) => None,
        }
    }

    pub(crate) fn row(self) -> Option<i64> {
        match self {
            Self::Integration { row, .. } => Some(row),
            Self::Subscription(_) => None,
        }
    }

    fn subscription(self) -> Option<i64> {
        match self {
            Self::Integration { .. } => None,
            Self::Subscription(id) => Some(id),
        }
    }
}

/// A delivery to write.
pub(crate) struct NewDelivery {
    pub(crate) event: i64,
    pub(crate) source: Source,
    pub(crate) channel: Channel,
    /// Slack's ids, with spaces between.
    pub(crate) mentions: Option<String>,
    /// Of a direct message: after how many microseconds it may be sent, if its reader may still see it by then.
    pub(crate) wait: Option<i64>,
}

/// Writes deliveries in order and wakes senders; returns their ids.
pub(crate) fn deliveries(deliveries: &[NewDelivery], schema: &str) -> Result<Vec<i64>> {
    if deliveries.is_empty() {
        return Ok(Vec::new());
    }
    let number = |of: fn(&NewDelivery) -> i64| {
        let numbers: Vec<i64> = deliveries.iter().map(of).collect();
        keys_argument(&numbers)
    };
    let of_source = |of: fn(Source) -> Option<i64>| {
        let numbers: Vec<Option<i64>> = deliveries.iter().map(|it| of(it.source)).collect();
        datum(numbers)
    };
    let mentions: Vec<Option<&str>> = deliveries.iter().map(|it| it.mentions.as_deref()).collect();
    let waits: Vec<Option<i64>> = deliveries.iter().map(|it| it.wait).collect();
    let arguments = [
        datum(schema),
        number(|it| it.event),
        of_source(Source::integration),
        of_source(Source::row),
        of_source(Source::subscription),
        number(|it| it.channel.id),
        number(|it| it.channel.lane),
        datum(mentions),
        datum(waits),
    ];
    let mut ids = Vec::with_capacity(deliveries.len());
    STATEMENTS.with(|own| {
        own.deliveries
            .rows(&arguments, |row| ids.extend(row.get::<i64>(1)))
    })?;
    wake(DELIVERIES);
    Ok(ids)
}
