//! What events are about, and the existing message about the same subject.

use crate::error::Result;
use crate::slack_workspace::inherited;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use lockstep_webhook::{Event, ObjectKind};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

/// Each event is a message of its own.
pub(super) const SEPARATE: &str = "separate";
/// Or it updates the message of its subject.
pub(super) const UPDATE: &str = "update";

/// Settings are inherited from a group, which may inherit its own, and so on.
const MOST_LEVELS: usize = 30;

struct Statements {
    updates: OwnStatement,
    payloads: OwnStatement,
    messages: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        updates: OwnStatement::by_index(
            "select n.integration_id, n.updates
               from unnest($2) i (id) join lockstep_internal.slack_notification n on n.schema = $1 and n.integration_id = i.id",
            &[pg_sys::TEXTOID, pg_sys::INT8ARRAYOID],
            &["schema"],
        ),
        payloads: OwnStatement::by_index(
            "select e.id, e.payload::text from lockstep_internal.event e where e.id = any ($1) and e.payload is not null",
            &[pg_sys::INT8ARRAYOID],
            &["id"],
        ),
        messages: OwnStatement::by_index(
            "select m.channel, m.subject, m.ts, m.slack_channel, m.moment
               from unnest($1, $2) s (channel, subject) join lockstep_internal.slack_message m on m.channel = s.channel and m.subject = s.subject
               join lockstep_internal.slack_channel c on c.id = m.channel
              -- By now the name may be another channel's.
              where m.slack_channel = coalesce(c.slack_id, m.slack_channel)",
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTARRAYOID],
            &["channel", "id"],
        ),
    };
}

/// How several events about one subject are shown, by integration: its own setting, otherwise the nearest inherited one.
pub(super) fn updates(schema: &str, integrations: BTreeSet<i64>) -> Result<BTreeMap<i64, String>> {
    let mut found = BTreeMap::new();
    // Each with the integration that the setting is for.
    let mut left: Vec<(i64, i64)> = integrations.into_iter().map(|id| (id, id)).collect();
    for _ in 0..MOST_LEVELS {
        let wanted: BTreeSet<i64> = left.iter().map(|(_, of)| *of).collect();
        let wanted: Vec<i64> = wanted.into_iter().collect();
        let mut settings: BTreeMap<i64, String> = BTreeMap::new();
        STATEMENTS.with(|statements| {
            let arguments = [datum(schema), keys_argument(&wanted)];
            statements.updates.rows(&arguments, |row| {
                settings.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
            })
        })?;
        left.retain(|(id, of)| match settings.get(of) {
            Some(updates) => {
                found.insert(*id, updates.clone());
                false
            }
            None => true,
        });
        if left.is_empty() {
            break;
        }
        let from = inherited(
            schema,
            &left.iter().map(|(_, of)| *of).collect::<Vec<i64>>(),
        )?;
        left = left
            .into_iter()
            .filter_map(|(id, of)| from.get(&of).map(|of| (id, *of)))
            .collect();
        if left.is_empty() {
            break;
        }
    }
    Ok(found)
}

/// The events' payloads, as received.
pub(super) fn payloads(events: &[i64]) -> Result<BTreeMap<i64, String>> {
    let mut payloads = BTreeMap::new();
    STATEMENTS.with(|statements| {
        statements.payloads.rows(&[keys_argument(events)], |row| {
            payloads.extend(row.get::<i64>(1).zip(row.get::<String>(2)));
        })
    })?;
    Ok(payloads)
}

/// A message about a subject, with Slack's ids for it and its channel.
pub(super) struct Message {
    pub(super) ts: String,
    pub(super) slack_channel: String,
    /// The time of the newest event that it shows.
    pub(super) moment: Option<i64>,
}

/// The message about the subject in each channel.
pub(super) fn messages(subjects: &[(i64, String)]) -> Result<BTreeMap<(i64, String), Message>> {
    let channels: Vec<i64> = subjects.iter().map(|(channel, _)| *channel).collect();
    let names: Vec<&str> = subjects
        .iter()
        .map(|(_, subject)| subject.as_str())
        .collect();
    let mut messages = BTreeMap::new();
    STATEMENTS.with(|statements| {
        let arguments = [keys_argument(&channels), datum(names)];
        statements.messages.rows(&arguments, |row| {
            let message = (row.get(3), row.get(4));
            if let (Some(channel), Some(subject), (Some(ts), Some(slack_channel))) =
                (row.get(1), row.get(2), message)
            {
                let moment = row.get(5);
                let message = Message {
                    ts,
                    slack_channel,
                    moment,
                };
                messages.insert((channel, subject), message);
            }
        })
    })?;
    Ok(messages)
}

/// The pipeline or merge request that an event is about. Parsed here and not by PostgreSQL, which rejects a payload that contains
/// a NUL anywhere.
pub(super) fn subject(payload: &str) -> Option<String> {
    let event = Event::read(payload).ok()?;
    let (ObjectKind::Pipeline | ObjectKind::MergeRequest) = event.kind()? else {
        return None;
    };
    let project = event.project().unwrap_or_default();
    let id = event.object_attributes.id.required("").ok()?;
    Some(format!("{}:{project}:{id}", *event.object_kind))
}
