//! Filters: nobody is notified of what their settings exclude, and everybody of the rest; pipelines are in another file.

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::notification::publish::{event, outcome, publish, told};

pub(crate) fn set(client: &mut Client, settings: Value) -> Result<()> {
    let text = settings.to_string();
    client.execute(
        "select lockstep.set_slack_notifications(1, $1::text::jsonb)",
        &[&text],
    )?;
    Ok(())
}

/// Each event with its outcome.
pub(crate) fn check(client: &mut Client, what: &str, cases: &[(Value, &str)]) -> Result<()> {
    for (payload, expected) in cases {
        let found = outcome(client, payload)?;
        ensure!(
            found == *expected,
            "{what}: {payload}: {found}, not {expected}"
        );
    }
    Ok(())
}

pub(crate) fn push(reference: &str) -> Value {
    event("push", 1, json!({"ref": reference}))
}

pub(crate) fn pipeline(id: i64, reference: &str, status: &str) -> Value {
    event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": id, "ref": reference, "status": status}}),
    )
}

#[test]
fn labels_are_filtered() -> Result<()> {
    let mut client = told("filter_label")?;
    let labels =
        |titles: &[&str]| -> Value { titles.iter().map(|title| json!({"title": title})).collect() };
    let issue = |titles: &[&str]| {
        event(
            "issue",
            1,
            json!({"object_attributes": {"action": "open"}, "labels": labels(titles)}),
        )
    };
    let note = |noteable: &str, titles: &[&str]| {
        let mut note = event("note", 1, json!({"object_attributes": {}}));
        note[noteable] = json!({"labels": labels(titles)});
        note
    };
    for (all, one_of_two, both) in [(false, "queued", "queued"), (true, "labels", "queued")] {
        set(
            &mut client,
            json!({"labels": "~bug, ~\"very urgent\" , bug".replace('"', ""), "all_labels": all}),
        )?;
        check(
            &mut client,
            &format!("all: {all}"),
            &[
                (issue(&[]), "labels"),
                (issue(&["Bug", "bugs"]), "labels"),
                (issue(&["x", "bug"]), one_of_two),
                (issue(&["very urgent", "bug", "x"]), both),
                (note("issue", &["bug", "very urgent"]), both),
                (note("merge_request", &["very urgent"]), one_of_two),
                (note("work_item", &["bug"]), one_of_two),
                (note("epic", &["bug"]), one_of_two),
                // What cannot have labels has none.
                (note("commit", &["bug"]), "labels"),
                (
                    event(
                        "merge_request",
                        1,
                        json!({"object_attributes": {"labels": labels(&["bug"])}}),
                    ),
                    one_of_two,
                ),
                (
                    event(
                        "issue",
                        1,
                        json!({"object_attributes": {"type": "Incident"}, "labels": labels(&["bug"])}),
                    ),
                    one_of_two,
                ),
                (
                    event(
                        "issue",
                        1,
                        json!({"object_attributes": {"confidential": true}, "labels": labels(&[])}),
                    ),
                    "labels",
                ),
                (
                    event("issue", 1, json!({"object_attributes": {}, "labels": null})),
                    "labels",
                ),
                // Events of other kinds have no labels, and are sent.
                (push("refs/heads/main"), "queued"),
                (
                    event("wiki_page", 1, json!({"object_attributes": {}})),
                    "queued",
                ),
            ],
        )?;
        set(&mut client, json!({"labels": []}))?;
        check(
            &mut client,
            "none wanted",
            &[(issue(&[]), "queued"), (issue(&["x"]), "queued")],
        )?;
    }
    Ok(())
}

#[test]
fn mere_updates_are_not_told() -> Result<()> {
    let mut client = told("filter_action")?;
    let acted = |kind: &str, action: &str, changes: Value| {
        event(
            kind,
            1,
            json!({"object_attributes": {"action": action}, "changes": changes}),
        )
    };
    let both = json!({"previous": [], "current": []});
    check(
        &mut client,
        "actions",
        &[
            (acted("issue", "update", json!({})), "action"),
            (acted("issue", "update", json!({"title": both})), "action"),
            (acted("work_item", "update", json!(null)), "action"),
            (
                acted(
                    "merge_request",
                    "update",
                    json!({"labels": both, "reviewers": null}),
                ),
                "action",
            ),
            (
                acted("merge_request", "update", json!({"reviewers": both})),
                "action",
            ),
            (
                acted(
                    "merge_request",
                    "update",
                    json!({"draft": {"previous": true, "current": false}}),
                ),
                "queued",
            ),
            (acted("merge_request", "approved", json!({})), "queued"),
            (acted("issue", "close", json!({"title": both})), "queued"),
            (acted("wiki_page", "update", json!({})), "queued"),
            (acted("note", "update", json!({})), "queued"),
            (
                event("issue", 1, json!({"object_attributes": {}})),
                "queued",
            ),
        ],
    )
}

#[test]
fn nobody_is_told_of_muted_authors() -> Result<()> {
    let mut client = told("filter_muted")?;
    set(
        &mut client,
        json!({"muted_authors": ["@bot", "renovate", "Dependabot"]}),
    )?;
    let by = |more: Value| {
        let mut push = push("refs/heads/main");
        push["user"] = more;
        push
    };
    check(
        &mut client,
        "authors",
        &[
            (by(json!({"id": 1, "username": "bot"})), "author"),
            (by(json!({"username": "renovate"})), "author"),
            // User names in GitLab are case-insensitive.
            (by(json!({"username": "Renovate"})), "author"),
            (by(json!({"username": "dependabot"})), "author"),
            (by(json!({"username": "robot"})), "queued"),
            (by(json!(null)), "queued"),
            (
                event(
                    "push",
                    1,
                    json!({"ref": "refs/heads/main", "user": null, "user_username": "bot", "user_id": 7}),
                ),
                "author",
            ),
        ],
    )
}

#[test]
fn own_actions_are_not_told_to_oneself() -> Result<()> {
    let mut client = told("filter_own")?;
    set(
        &mut client,
        json!({"channels": ["U1", "U2", "#c"], "own_actions": false}),
    )?;
    let channels = |client: &mut Client, user: Value| -> Result<(Vec<String>, String)> {
        let mut payload = push("refs/heads/main");
        payload["user"] = user;
        let mut told = publish(client, &payload)?;
        let (_, _, channels, outcome) = told.remove(0);
        Ok((channels, outcome))
    };
    let all = |names: &[&str], outcome: &str| {
        (
            names
                .iter()
                .map(|it| (*it).to_owned())
                .collect::<Vec<String>>(),
            outcome.to_owned(),
        )
    };
    // Without linked accounts in GitLab.
    assert_eq!(
        channels(&mut client, json!({"id": 1}))?,
        all(&["U1", "U2", "#c"], "queued")
    );
    client.batch_execute(
        "create table chat_names (id bigserial primary key, user_id bigint, team_id varchar, chat_id varchar);
         insert into chat_names (user_id, team_id, chat_id) values (1, 'A', 'U1'), (1, 'B', 'U2'), (2, 'A', 'U2'), (3, 'A', 'U3')",
    )?;
    assert_eq!(
        channels(&mut client, json!({"id": 1}))?,
        all(&["U2", "#c"], "queued")
    );
    assert_eq!(
        channels(&mut client, json!({"id": 2}))?,
        all(&["U1", "#c"], "queued")
    );
    assert_eq!(
        channels(&mut client, json!({"id": 3}))?,
        all(&["U1", "U2", "#c"], "queued")
    );
    assert_eq!(
        channels(&mut client, json!(null))?,
        all(&["U1", "U2", "#c"], "queued")
    );
    set(&mut client, json!({"channels": ["U1"]}))?;
    assert_eq!(channels(&mut client, json!({"id": 1}))?, all(&[], "author"));
    assert_eq!(
        channels(&mut client, json!({"id": 2}))?,
        all(&["U1"], "queued")
    );
    set(&mut client, json!({"own_actions": true}))?;
    assert_eq!(
        channels(&mut client, json!({"id": 1}))?,
        all(&["U1"], "queued")
    );
    Ok(())
}

#[test]
fn events_have_channels_of_their_own() -> Result<()> {
    let mut client = told("filter_channel")?;
    set(
        &mut client,
        json!({"channels": "#all", "event_channels": {"issue": "#issues", "note": ["#notes"], "incident": "#fire", "pipeline": []}}),
    )?;
    let channel = |client: &mut Client, payload: &Value| -> Result<String> {
        let mut told = publish(client, payload)?;
        Ok(told.remove(0).2.join(" "))
    };
    let object = |kind: &str, more: Value| event(kind, 1, json!({"object_attributes": more}));
    let confidential_issue = object("issue", json!({"confidential": true}));
    let confidential_note = object("note", json!({"internal": true}));
    assert_eq!(
        channel(&mut client, &object("issue", json!({})))?,
        "#issues"
    );
    assert_eq!(channel(&mut client, &confidential_issue)?, "#issues");
    assert_eq!(
        channel(&mut client, &object("issue", json!({"type": "Incident"})))?,
        "#fire"
    );
    assert_eq!(channel(&mut client, &object("note", json!({})))?, "#notes");
    assert_eq!(channel(&mut client, &confidential_note)?, "#notes");
    assert_eq!(channel(&mut client, &push("refs/heads/main"))?, "#all");
    assert_eq!(
        channel(&mut client, &pipeline(1, "main", "failed"))?,
        "#all"
    );
    set(
        &mut client,
        json!({"event_channels": {"confidential_issue": "G1", "confidential_note": "G2", "issue": null, "note": null}}),
    )?;
    assert_eq!(channel(&mut client, &confidential_issue)?, "G1");
    assert_eq!(channel(&mut client, &confidential_note)?, "G2");
    assert_eq!(channel(&mut client, &object("issue", json!({})))?, "#all");
    set(
        &mut client,
        json!({"channels": null, "event_channels": {"confidential_issue": null}}),
    )?;
    check(
        &mut client,
        "no channels",
        &[
            (object("issue", json!({})), "no_channel"),
            (confidential_issue, "no_channel"),
            (confidential_note, "queued"),
        ],
    )?;
    // With two aliases in one workspace, each channel is notified once.
    client.batch_execute(
        "insert into slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values ('A', 'Team A', 'again', 'U1', now(), now(), 1), ('C', 'Team C', 'again', 'U1', now(), now(), 1)",
    )?;
    set(&mut client, json!({"channels": "#all"}))?;
    let told = publish(&mut client, &push("refs/heads/main"))?;
    let told: Vec<(usize, &str)> = told
        .iter()
        .map(|(_, _, channels, outcome)| (channels.len(), outcome.as_str()))
        .collect();
    assert_eq!(told, [(1, "queued"), (0, "no_channel"), (1, "queued")]);
    Ok(())
}
