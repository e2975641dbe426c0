//! Which pipelines are reported.

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification::batch::batch;
use crate::notification::filter::{check, pipeline, set};
use crate::notification::publish::{event, outcome, publish, publish_as, told};
use crate::service_account::number;
use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::json;
use std::thread;

/// A webhook may be late: what ended earlier is no change, and does not affect the next one.
#[test]
fn pipelines_that_come_late_change_nothing() -> Result<()> {
    let mut client = told("filter_late")?;
    set(
        &mut client,
        json!({"only_changed_pipelines": true, "only_broken_pipelines": false}),
    )?;
    let ended = |id: i64, status: &str, at: Option<&str>| {
        let mut event = pipeline(id, "main", status);
        event["object_attributes"]["finished_at"] = json!(at);
        event
    };
    let same = "pipeline_status";
    check(
        &mut client,
        "late",
        &[
            (
                ended(1, "failed", Some("2026-01-01 10:00:05 UTC")),
                "queued",
            ),
            (
                ended(1, "success", Some("2026-01-01 10:00:07 UTC")),
                "queued",
            ),
            (ended(1, "failed", Some("2026-01-01 10:00:05 UTC")), same),
            (ended(2, "success", Some("2026-01-01 10:00:09 UTC")), same),
            // Retried, within the same second.
            (
                ended(2, "failed", Some("2026-01-01 10:00:09 UTC")),
                "queued",
            ),
            (ended(1, "success", Some("2026-01-01 10:00:20 UTC")), same),
            // Times that cannot be compared are ignored.
            (ended(2, "success", Some("soon")), "queued"),
            (ended(2, "failed", None), "queued"),
        ],
    )
}

/// Times are compared as times, however each is written. A pipeline that failed at one is retried: it is an older end, or a newer one.
#[test]
fn ends_are_in_the_order_of_their_times() -> Result<()> {
    let mut client = told("filter_order")?;
    set(
        &mut client,
        json!({"only_changed_pipelines": true, "only_broken_pipelines": false}),
    )?;
    let ended = |id: i64, status: &str, at: &str| {
        let mut event = pipeline(id, "main", status);
        event["object_attributes"]["finished_at"] = json!(at);
        event
    };
    let (older, newer) = ("pipeline_status", "queued");
    for (id, (last, next, expected)) in (1..).zip([
        (
            "2026-11-30T10:30:00.123Z",
            "2026-11-30T10:29:59.999Z",
            older,
        ),
        (
            "2026-11-30T10:30:00.123Z",
            "2026-11-30T10:30:00.122Z",
            older,
        ),
        (
            "2026-11-30T10:30:00.123Z",
            "2026-11-30T10:30:00.124Z",
            newer,
        ),
        // The second was written without a fraction, or with another one.
        ("2026-11-30T10:30:00.123Z", "2026-11-30T10:30:00Z", older),
        ("2026-11-30T10:30:00Z", "2026-11-30T10:30:00.123Z", newer),
        ("2026-11-30T10:30:00Z", "2026-11-30T10:29:59.999Z", older),
        ("2026-11-30T10:30:00.000Z", "2026-11-30T10:30:00Z", newer),
        (
            "2026-11-30T10:30:00.5Z",
            "2026-11-30T10:30:00.123456Z",
            older,
        ),
        (
            "2026-11-30T10:30:00.123456Z",
            "2026-11-30T10:30:00.5Z",
            newer,
        ),
        (
            "2026-11-30 10:30:00.5 UTC",
            "2026-11-30 10:30:00 UTC",
            older,
        ),
        // In other zones.
        ("2026-11-30 10:30:00 UTC", "2026-11-30T10:29:59.9Z", older),
        (
            "2026-11-30 10:30:00 UTC",
            "2026-11-30 12:29:59 +0200",
            older,
        ),
        (
            "2026-11-30 10:30:00 UTC",
            "2026-11-30 05:30:01 -0500",
            newer,
        ),
        (
            "2026-11-30T12:30:00.25+02:00",
            "2026-11-30T10:30:00.2Z",
            older,
        ),
        ("2026-11-30 10:30:00", "2026-11-30 10:29:59.9", older),
        ("2026-11-30 10:30:00", "2026-11-30T10:29:59Z", older),
        // What is no time decides nothing.
        ("2026-11-30T10:30:00Z", "2026-11-30T10:29:59 CEST", newer),
        ("2026-11-30T10:30:00Z", "2026-11-30", newer),
        ("2026-11-30T10:30:00Z", "２026-11-30T10:29:59Z", newer),
        ("", "2026-11-30T10:29:59Z", newer),
    ]) {
        client.batch_execute("delete from lockstep_internal.pipeline_status")?;
        outcome(&mut client, &ended(id, "failed", last))?;
        let found = outcome(&mut client, &ended(id, "success", next))?;
        assert_eq!(found, expected, "{next} after {last}");
    }
    Ok(())
}

/// Branch names longer than an index row are distinguished like others, and do not block others' events.
#[test]
fn names_of_branches_may_be_long() -> Result<()> {
    let mut client = told("filter_long")?;
    set(
        &mut client,
        json!({"only_changed_pipelines": true, "only_broken_pipelines": false, "branches": "all"}),
    )?;
    let mut seed = 4;
    let branch = crate::job::noise(4_000, &mut seed);
    // With the same length and beginning.
    let other = format!("{}x", &branch[..3_999]);
    let of = |id: i64, branch: &str, status: &str| pipeline(id, branch, status).to_string();
    let texts = [
        of(1, &branch, "failed"),
        event("push", 1, json!({"ref": "refs/heads/main"})).to_string(),
        of(2, &other, "success"),
        of(3, &branch, "failed"),
        of(4, &branch, "success"),
    ];
    let keys = ["a", "b", "c", "d", "e"];
    let texts: Vec<(&str, Option<String>)> = keys.into_iter().zip(texts.map(Some)).collect();
    let published = batch(&mut client, &texts)?;
    let deliveries: Vec<i32> = published.iter().map(|it| it.2).collect();
    assert_eq!(deliveries, [1, 1, 0, 0, 1], "{published:?}");
    Ok(())
}

#[test]
fn only_pipelines_that_ended_are_told() -> Result<()> {
    let mut client = told("filter_pipeline")?;
    for (broken, success) in [(true, "pipeline_status"), (false, "queued")] {
        set(&mut client, json!({"only_broken_pipelines": broken}))?;
        let mut cases = vec![
            (pipeline(1, "main", "failed"), "queued"),
            (pipeline(1, "main", "success"), success),
        ];
        for status in [
            "pending", "running", "canceled", "skipped", "manual", "created", "FAILED", "",
        ] {
            cases.push((pipeline(1, "main", status), "pipeline_status"));
        }
        check(&mut client, &format!("only broken: {broken}"), &cases)?;
    }
    Ok(())
}

#[test]
fn only_changes_of_status_are_told() -> Result<()> {
    let mut client = told("filter_change")?;
    set(
        &mut client,
        json!({"only_broken_pipelines": false, "only_changed_pipelines": true, "branches": "all"}),
    )?;
    let tag = |id: i64, status: &str| {
        event(
            "pipeline",
            1,
            json!({"object_attributes": {"id": id, "ref": "main", "tag": true, "status": status}}),
        )
    };
    let same = "pipeline_status";
    check(
        &mut client,
        "one after the other",
        &[
            (pipeline(10, "main", "success"), same),
            (pipeline(11, "main", "running"), same),
            (pipeline(11, "main", "failed"), "queued"),
            (pipeline(12, "main", "failed"), same),
            // Another branch and a tag with the same name are independent.
            (pipeline(13, "topic", "failed"), "queued"),
            (tag(14, "success"), same),
            (pipeline(15, "main", "success"), "queued"),
            (pipeline(16, "main", "success"), same),
            // An earlier pipeline does not affect the branch's state.
            (pipeline(12, "main", "failed"), same),
            (pipeline(17, "main", "success"), same),
            // A retried pipeline has a different result.
            (pipeline(18, "main", "failed"), "queued"),
            (pipeline(18, "main", "success"), "queued"),
            (pipeline(18, "main", "canceled"), same),
            (pipeline(19, "main", "success"), same),
        ],
    )?;
    let rows = client.query(
        "select ref, pipeline_id, status from lockstep_internal.pipeline_status where schema = 'public' and project_id = 1 order by ref",
        &[],
    )?;
    let rows: Vec<(String, i64, String)> = rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2)))
        .collect();
    let row = |name: &str, id, status: &str| (name.to_owned(), id, status.to_owned());
    assert_eq!(
        rows,
        [
            row("refs/heads/main", 19, "success"),
            row("refs/heads/topic", 13, "failed"),
            row("refs/tags/main", 14, "success")
        ]
    );
    // A repeated event is not compared with itself, and leaves nothing behind.
    assert_eq!(
        publish_as(&mut client, &pipeline(20, "main", "failed"), Some("k"))?.len(),
        1
    );
    assert_eq!(
        publish_as(&mut client, &pipeline(20, "main", "failed"), Some("k"))?.len(),
        0
    );
    check(
        &mut client,
        "after a repeat",
        &[(pipeline(21, "main", "success"), "queued")],
    )?;
    // Payloads that nobody is notified of are not stored.
    let kept =
        "select count(*) from lockstep_internal.event e where (e.payload is null) <> not exists (
                  select from lockstep_internal.slack_delivery d where d.event = e.id)";
    assert_eq!(number(&mut client, kept)?, 0);
    // All of a batch, in order.
    let texts: Vec<String> = [
        (30, "failed"),
        (31, "failed"),
        (29, "success"),
        (32, "success"),
    ]
    .map(|(id, status)| pipeline(id, "main", status).to_string())
    .to_vec();
    let rows = client.query(
        "select deliveries from lockstep_api.publish_events($1::text[]::json[], '{a,b,c,d}') order by place",
        &[&texts],
    )?;
    let deliveries: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(deliveries, [1, 0, 0, 1]);
    // Stored even while nobody asks for it.
    set(&mut client, json!({"only_changed_pipelines": false}))?;
    client.batch_execute("update integrations set pipeline_events = false")?;
    check(
        &mut client,
        "off",
        &[(pipeline(40, "main", "failed"), "event_off")],
    )?;
    client.batch_execute("update integrations set pipeline_events = true")?;
    set(&mut client, json!({"only_changed_pipelines": true}))?;
    check(
        &mut client,
        "on again",
        &[(pipeline(41, "main", "failed"), same)],
    )
}

/// Nothing is stored for branches without any integration, nor forever for branches without new pipelines.
#[test]
fn pipelines_are_forgotten() -> Result<()> {
    let mut client = told("filter_forgotten")?;
    client.batch_execute("insert into projects (id, path, namespace_id) values (70, 'p70', 1)")?;
    let kept = |client: &mut Client| -> Result<Vec<(i64, String)>> {
        let query = "select project_id, ref from lockstep_internal.pipeline_status order by 1, 2";
        let rows = client.query(query, &[])?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    };
    let mut elsewhere = pipeline(1, "main", "failed");
    elsewhere["project"]["id"] = json!(70);
    publish(&mut client, &elsewhere)?;
    assert_eq!(kept(&mut client)?, []);
    for branch in ["main", "old", "older"] {
        publish(&mut client, &pipeline(1, branch, "failed"))?;
    }
    client.batch_execute(
        "update lockstep_internal.pipeline_status set seen_on = current_date - 90 where ref like '%/old%'",
    )?;
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 0);
    client.batch_execute(
        "update lockstep_internal.pipeline_status set seen_on = current_date - 91 where ref like '%/old%'",
    )?;
    publish(&mut client, &pipeline(2, "old", "failed"))?;
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 1);
    let main_and_old = ["main", "old"].map(|name| (1, format!("refs/heads/{name}")));
    assert_eq!(kept(&mut client)?, main_and_old);
    Ok(())
}

/// Two pipelines of one branch end at the same time: the second waits for the first and is compared with it.
#[test]
fn pipelines_of_a_branch_take_turns() -> Result<()> {
    for (name, commit) in [
        ("filter_turns_commit", true),
        ("filter_turns_rollback", false),
    ] {
        let mut client = told(name)?;
        set(&mut client, json!({"only_changed_pipelines": true}))?;
        for id in [1, 3] {
            // At first there is no row to lock.
            let mut first = cluster()?.connect(name)?;
            let mut second = cluster()?.connect(name)?;
            let pid = pid_of(&mut second)?;
            let mut ending = first.transaction()?;
            ending.query(
                "select lockstep.publish_event($1::text::jsonb)",
                &[&pipeline(id, "main", "failed").to_string()],
            )?;
            let found = thread::scope(|scope| -> Result<String> {
                let session =
                    scope.spawn(|| outcome(&mut second, &pipeline(id + 1, "main", "failed")));
                ensure!(settle(&session, &mut client, pid)?, "it does not wait");
                match commit {
                    true => ending.commit()?,
                    false => ending.rollback()?,
                }
                session
                    .join()
                    .map_err(|_| anyhow::anyhow!("a session panicked"))?
            })?;
            let is_first = id == 1 && !commit;
            assert_eq!(
                found,
                if is_first {
                    "queued"
                } else {
                    "pipeline_status"
                },
                "{name} {id}"
            );
        }
    }
    Ok(())
}
