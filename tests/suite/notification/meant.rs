//! Whom an event is for: the table of the guide.

use anyhow::Result;
use serde_json::{Value, json};

use super::person::{by, explained, opened, people, sent, users};
use crate::notification::filter::{pipeline, set};
use crate::notification::publish::event;

#[test]
fn those_are_mentioned_whom_it_is_for() -> Result<()> {
    let mut client = people("person_meant")?;
    let changed = |name: &str, before: &[i64], now: &[i64]| {
        let changes =
            json!({"changes": {name: {"previous": users(before), "current": users(now)}}});
        by(
            6,
            "merge_request",
            json!({"action": "update", "author_id": 3}),
            changes,
        )
    };
    let changed_reviewers = |before: Value, now: Value| {
        let changes = json!({"changes": {"reviewers": {"previous": before, "current": now}}});
        by(
            6,
            "merge_request",
            json!({"action": "update", "author_id": 3}),
            changes,
        )
    };
    let item = |kind: &str, action: &str| {
        let more = json!({"assignees": users(&[4])});
        by(6, kind, json!({"action": action, "author_id": 3}), more)
    };
    let note = |more: Value| by(4, "note", json!({"note": "@bob <@U4> <!channel>"}), more);
    let failed = |status: &str| {
        let mut failed = pipeline(1, "main", status);
        failed["user"] = json!({"id": 3});
        failed
    };
    let deployment = |status: &str| {
        let more = json!({"status": status, "environment": "production"});
        by(3, "deployment", json!({}), more)
    };
    set(
        &mut client,
        json!({"only_broken_pipelines": false, "changes": "assignees, labels, milestone", "event_channels": {"job": "#c"}}),
    )?;
    let reopened = json!({"reviewers": users(&[3]), "assignees": users(&[4])});
    let reopened = by(
        6,
        "merge_request",
        json!({"action": "reopen", "author_id": 6}),
        reopened,
    );
    let mut ready = changed("draft", &[], &[]);
    ready["changes"]["draft"] = json!({"previous": true, "current": false});
    ready["reviewers"] = users(&[4]);
    let mut milestone = changed("labels", &[], &[]);
    milestone["changes"] = json!({"milestone_id": {"previous": null, "current": 1}});
    let mut assigned = changed("assignees", &[4], &[3, 4]);
    assigned["object_kind"] = json!("issue");
    for (what, event, expected) in [
        ("reviewers", opened(6, &[3, 4, 6]), "#c U3 U4"),
        ("reviewers and assignees", reopened, "#c U3 U4"),
        ("reviewers", ready, "#c U4"),
        (
            "nobody, one less is asked",
            changed_reviewers(users(&[3, 4]), users(&[3])),
            "#c",
        ),
        ("nobody", changed("labels", &[], &[3]), "#c"),
        ("nobody", milestone, "#c"),
        ("new assignees", assigned, "#c U3"),
        ("nobody", opened(6, &[]), "#c"),
        (
            "new reviewers",
            changed_reviewers(users(&[3]), users(&[3, 4])),
            "#c U4",
        ),
        (
            "a reviewer who is asked again",
            changed_reviewers(
                json!([{"id": 3, "state": "reviewed"}, {"id": 4, "state": "unreviewed"}]),
                json!([{"id": 3, "state": "unreviewed", "re_requested": true}, {"id": 4, "state": "unreviewed", "re_requested": false}]),
            ),
            "#c U3",
        ),
        (
            "new assignees",
            changed("assignees", &[4], &[3, 4]),
            "#c U3",
        ),
        ("assignees", item("issue", "open"), "#c U4"),
        ("assignees", item("issue", "reopen"), "#c U4"),
        ("the author", item("issue", "close"), "#c U3"),
        ("the author", item("merge_request", "approved"), "#c U3"),
        ("the author", item("merge_request", "merge"), "#c U3"),
        ("the author", item("merge_request", "close"), "#c U3"),
        (
            "the author",
            note(json!({"merge_request": {"author_id": 3}})),
            "#c U3",
        ),
        (
            "the author",
            note(json!({"issue": {"author_id": 3}})),
            "#c U3",
        ),
        // Who opened an issue may not see its internal comments.
        (
            "nobody",
            note(json!({"issue": {"author_id": 3, "confidential": true}})),
            "#c",
        ),
        ("who broke it", failed("failed"), "#c U3"),
        ("nobody", failed("success"), "#c"),
        (
            "who started it",
            event(
                "build",
                1,
                json!({"build_status": "failed", "ref": "main", "user": {"id": 3}}),
            ),
            "#c U3",
        ),
        ("who deployed", deployment("failed"), "#c U3"),
        ("nobody", deployment("success"), "#c"),
    ] {
        assert_eq!(sent(&mut client, &event)?, [expected], "{what}: {event}");
    }
    // Where the project wants no mentions, nobody is asked.
    set(&mut client, json!({"mentions": false}))?;
    assert_eq!(sent(&mut client, &opened(6, &[3, 4]))?, ["#c"]);
    assert!(explained(&mut client, &opened(6, &[3, 4]))?.is_empty());
    Ok(())
}
