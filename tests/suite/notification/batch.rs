//! Events that arrive together, twice, or at the same time.

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification::publish::{Told, event, publish, publish_as, told};
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::{Result, ensure};
use postgres::fallible_iterator::FallibleIterator;
use postgres::{Client, IsolationLevel};
use serde_json::json;
use std::thread;

/// The result for each event of a batch: outcome, detail, deliveries.
pub(crate) type Published = (String, Option<String>, i32);

pub(crate) fn batch(
    client: &mut Client,
    events: &[(&str, Option<String>)],
) -> Result<Vec<Published>> {
    let keys: Vec<&str> = events.iter().map(|(key, _)| *key).collect();
    let texts: Vec<&Option<String>> = events.iter().map(|(_, text)| text).collect();
    let rows = client.query(
        "select place, outcome, detail, deliveries from lockstep_api.publish_events($1::text[]::json[], $2)",
        &[&texts, &keys],
    )?;
    for (place, row) in (1..).zip(&rows) {
        ensure!(row.get::<_, i32>(0) == place, "place {place}");
    }
    let published = rows.iter().map(|row| (row.get(1), row.get(2), row.get(3)));
    Ok(published.collect())
}

pub(crate) const DELIVERIES: &str = "select count(*) from lockstep_internal.slack_delivery";

#[test]
fn an_event_counts_once() -> Result<()> {
    let mut client = told("notify_once")?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    assert_eq!(publish_as(&mut client, &push, Some("k"))?.len(), 1);
    assert_eq!(publish_as(&mut client, &push, Some("k"))?.len(), 0);
    // Without a key each is a new event.
    assert_eq!(publish(&mut client, &push)?.len(), 1);
    assert_eq!(publish(&mut client, &push)?.len(), 1);
    assert_eq!(number(&mut client, DELIVERIES)?, 3);
    let text = Some(push.to_string());
    let published = batch(
        &mut client,
        &[
            ("k", text.clone()),
            ("l", text.clone()),
            ("l", text),
            ("m", None),
        ],
    )?;
    let outcomes: Vec<&str> = published
        .iter()
        .map(|(outcome, ..)| outcome.as_str())
        .collect();
    assert_eq!(
        outcomes,
        ["duplicate", "published", "duplicate", "malformed"]
    );
    assert_eq!(number(&mut client, DELIVERIES)?, 4);
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.event")?,
        4
    );
    // In another schema it is another event.
    client.batch_execute(
        "insert into lockstep_internal.event (schema, key) values ('elsewhere', 'n')",
    )?;
    assert_eq!(publish_as(&mut client, &push, Some("n"))?.len(), 1);
    Ok(())
}

/// Publishes an event while another session has published it and not committed yet.
fn beside_another(
    name: &str,
    level: IsolationLevel,
    commit: bool,
) -> Result<Result<Vec<Told>, String>> {
    let mut client = told(name)?;
    let push = event("push", 1, json!({"ref": "refs/heads/main"}));
    let mut first = cluster()?.connect(name)?;
    let mut second = cluster()?.connect(name)?;
    let pid = pid_of(&mut second)?;
    let mut publishing = first.transaction()?;
    publishing.query(
        "select lockstep.publish_event($1::text::jsonb, 'k')",
        &[&push.to_string()],
    )?;
    let told = thread::scope(|scope| -> Result<_> {
        let session = scope.spawn(|| -> Result<Vec<Told>> {
            second.batch_execute(&format!(
                "set default_transaction_isolation = '{}'",
                match level {
                    IsolationLevel::ReadCommitted => "read committed",
                    _ => "repeatable read",
                }
            ))?;
            publish_as(&mut second, &push, Some("k"))
        });
        ensure!(settle(&session, &mut client, pid)?, "it does not wait");
        match commit {
            true => publishing.commit()?,
            false => publishing.rollback()?,
        }
        session
            .join()
            .map_err(|_| anyhow::anyhow!("a session panicked"))
    })?;
    let deliveries = number(&mut client, DELIVERIES)?;
    ensure!(deliveries == 1, "{deliveries} deliveries");
    Ok(told.map_err(|error| {
        format!(
            "{:?}",
            error
                .downcast_ref::<postgres::Error>()
                .and_then(|it| it.code().cloned())
        )
    }))
}

#[test]
fn the_second_of_two_sessions_waits() -> Result<()> {
    assert_eq!(
        beside_another("notify_commit", IsolationLevel::ReadCommitted, true)?,
        Ok(vec![])
    );
    let told = beside_another("notify_rollback", IsolationLevel::ReadCommitted, false)?;
    ensure!(told.as_ref().is_ok_and(|told| told.len() == 1), "{told:?}");
    let told = beside_another("notify_frozen", IsolationLevel::RepeatableRead, true)?;
    ensure!(
        told.as_ref().is_err_and(|code| code.contains("40001")),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn a_batch_is_written_in_its_order() -> Result<()> {
    let mut client = told("notify_batch")?;
    client.batch_execute(
        "select lockstep.set_slack_notifications(1, '{\"channels\": \"#z, #a, #m\"}')",
    )?;
    let push =
        |project: i64| Some(event("push", project, json!({"ref": "refs/heads/main"})).to_string());
    let bad = |text: &str| Some(text.to_owned());
    let published = batch(
        &mut client,
        &[
            ("9", push(1)),
            ("8", bad("{\"object_kind\": \"push\", \"project_id\": 1}")),
            ("7", push(2)),
            ("6", push(999)),
            (
                "5",
                bad("{\"object_kind\": \"access_token\", \"project_id\": 1}"),
            ),
            ("4", push(1)),
            ("3", bad("[1]")),
            ("2", push(8)),
            ("", push(1)),
        ],
    )?;
    let row = |outcome: &str, detail: Option<&str>, deliveries| {
        (outcome.to_owned(), detail.map(str::to_owned), deliveries)
    };
    assert_eq!(
        published,
        [
            row("published", None, 3),
            row("malformed", Some("ref"), 0),
            row("published", None, 1),
            row("unknown_project", Some("project 999"), 0),
            row("unknown_kind", Some("access_token"), 0),
            row("published", None, 3),
            row("malformed", Some("object_kind"), 0),
            // Integration 8 is in no workspace.
            row("published", None, 0),
            row("malformed", Some("key"), 0),
        ]
    );
    let row = client.query_one(
        "select string_agg(e.key || c.channel, ' ' order by d.id) from lockstep_internal.slack_delivery d
           join lockstep_internal.slack_channel c on c.id = d.channel join lockstep_internal.event e on e.id = d.event",
        &[],
    )?;
    assert_eq!(row.get::<_, String>(0), "9#z 9#a 9#m 7#c 4#z 4#a 4#m");
    // A refused event leaves its key unused.
    assert_eq!(
        batch(&mut client, &[("8", push(1)), ("6", push(1))])?,
        [row_of(3), row_of(3)]
    );
    refused(
        &mut client,
        "select lockstep_api.publish_events('{null}', '{}')",
        "22023",
        "1 events, but 0 keys",
    )?;
    assert_eq!(batch(&mut client, &[])?, []);
    Ok(())
}

pub(crate) fn row_of(deliveries: i32) -> Published {
    ("published".to_owned(), None, deliveries)
}

#[test]
fn whoever_delivers_is_woken_once() -> Result<()> {
    let mut client = told("notify_wake")?;
    let mut listener = cluster()?.connect("notify_wake")?;
    listener.batch_execute("listen lockstep_delivery")?;
    listener.batch_execute("select lockstep_api.delivery_wait(60)")?;
    let push = |project: i64| event("push", project, json!({"ref": "refs/heads/main"}));
    // Nobody is notified of this one.
    publish(&mut client, &push(8))?;
    let texts: Vec<(&str, Option<String>)> = vec![
        ("a", Some(push(1).to_string())),
        ("b", Some(push(2).to_string())),
    ];
    batch(&mut client, &texts)?;
    listener.batch_execute("select 1")?;
    let mut heard = Vec::new();
    let mut notifications = listener.notifications();
    let mut waiting = notifications.iter();
    while let Some(notification) = waiting.next()? {
        heard.push(notification.channel().to_owned());
    }
    assert_eq!(heard, ["lockstep_delivery"]);
    Ok(())
}
