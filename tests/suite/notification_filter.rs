//! Filters: nobody is told of what his settings exclude, and everybody of the rest.

use std::thread;

use anyhow::{Result, ensure};
use postgres::Client;
use serde_json::{Value, json};

use crate::concurrency::{pid_of, settle};
use crate::database::cluster;
use crate::notification_publish::{event, outcome, publish, publish_as, told};
use crate::service_account::number;

fn set(client: &mut Client, settings: Value) -> Result<()> {
    let text = settings.to_string();
    client.execute(
        "select lockstep.set_slack_notifications(1, $1::text::jsonb)",
        &[&text],
    )?;
    Ok(())
}

/// Each event with its outcome.
fn check(client: &mut Client, what: &str, cases: &[(Value, &str)]) -> Result<()> {
    for (payload, expected) in cases {
        let found = outcome(client, payload)?;
        ensure!(
            found == *expected,
            "{what}: {payload}: {found}, not {expected}"
        );
    }
    Ok(())
}

fn push(reference: &str) -> Value {
    event("push", 1, json!({"ref": reference}))
}

fn protected_push(reference: &str, is_protected: bool) -> Value {
    event(
        "push",
        1,
        json!({"ref": reference, "ref_protected": is_protected}),
    )
}

fn pipeline(id: i64, reference: &str, status: &str) -> Value {
    event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": id, "ref": reference, "status": status}}),
    )
}

#[test]
fn branches_are_filtered() -> Result<()> {
    let mut client = told("filter_branch")?;
    let tag = event("tag_push", 1, json!({"ref": "refs/tags/v1"}));
    let pipeline_of_tag = event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": 1, "ref": "v1", "tag": true, "status": "failed"}}),
    );
    let deployment = |reference: &str| {
        event(
            "deployment",
            1,
            json!({"status": "success", "ref": reference}),
        )
    };
    let unsaid = event("deployment", 1, json!({"status": "success"}));
    let without_default = json!({"object_kind": "push", "ref": "refs/heads/main", "project_id": 1});
    let protected_pipeline = event(
        "pipeline",
        1,
        json!({"object_attributes": {"id": 1, "ref": "x", "protected_ref": true, "status": "failed"}}),
    );
    // What each setting lets through: the default branch, another that is protected, one that is neither.
    for (branches, default, protected, other) in [
        ("all", "queued", "queued", "queued"),
        ("default", "queued", "branch", "branch"),
        ("protected", "branch", "queued", "branch"),
        ("default_and_protected", "queued", "queued", "branch"),
    ] {
        set(&mut client, json!({"branches": branches}))?;
        check(
            &mut client,
            branches,
            &[
                (protected_push("refs/heads/main", false), default),
                (protected_push("refs/heads/stable", true), protected),
                (protected_push("refs/heads/topic", false), other),
                // Nobody says whether it is protected: the host has no such table.
                (push("refs/heads/stable"), other),
                (pipeline(1, "main", "failed"), default),
                (pipeline(1, "topic", "failed"), other),
                (protected_pipeline.clone(), protected),
                (deployment("main"), default),
                (deployment("topic"), other),
                (deployment("refs/tags/v1"), "queued"),
                (unsaid.clone(), "queued"),
                (tag.clone(), "queued"),
                (pipeline_of_tag.clone(), "queued"),
                (
                    without_default.clone(),
                    if branches == "all" {
                        "queued"
                    } else {
                        "branch"
                    },
                ),
                // Only what has a branch.
                (
                    event("wiki_page", 1, json!({"object_attributes": {}})),
                    "queued",
                ),
                (
                    event(
                        "merge_request",
                        1,
                        json!({"object_attributes": {"target_branch": "topic"}}),
                    ),
                    "queued",
                ),
            ],
        )?;
    }
    Ok(())
}

#[test]
fn protected_branches_are_the_hosts() -> Result<()> {
    let mut client = told("filter_protected")?;
    set(&mut client, json!({"branches": "protected"}))?;
    check(
        &mut client,
        "no table",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    // It comes into being while the session goes on.
    client.batch_execute(
        "create table protected_branches (id bigserial primary key, project_id bigint, name varchar not null);
         create index on protected_branches (project_id);
         insert into protected_branches (project_id, name) values (1, 'stable'), (1, 'release-*'), (1, '*-hot-*-fix'), (1, 'a*a'), (2, '*'), (null, '*')",
    )?;
    let cases = [
        ("stable", "queued"),
        ("stable2", "branch"),
        ("unstable", "branch"),
        ("release-", "queued"),
        ("release-1/2", "queued"),
        ("a-release-1", "branch"),
        ("x-hot-y-fix", "queued"),
        ("-hot--fix", "queued"),
        ("-hot-fix", "branch"),
        ("x-hot-y-fixed", "branch"),
        ("a", "branch"),
        ("aa", "queued"),
        ("main", "branch"),
        ("Stable", "branch"),
    ];
    for (branch, expected) in cases {
        check(
            &mut client,
            "the table",
            &[(push(&format!("refs/heads/{branch}")), expected)],
        )?;
    }
    // The payload knows better.
    check(
        &mut client,
        "the payload",
        &[(protected_push("refs/heads/stable", false), "branch")],
    )?;
    client.batch_execute("alter table protected_branches rename column name to title")?;
    check(
        &mut client,
        "another table",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    client.batch_execute("drop table protected_branches")?;
    check(
        &mut client,
        "no table any more",
        &[(push("refs/heads/stable"), "branch")],
    )?;
    Ok(())
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
                // Events of another kind have none, and are told.
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
                "queued",
            ),
            (
                acted(
                    "merge_request",
                    "update",
                    json!({"draft": {"previous": true, "current": false}}),
                ),
                "action",
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

/// A webhook may come late: what ended before is no change, and says nothing of the next one.
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
            // Retried, and in the same second.
            (
                ended(2, "failed", Some("2026-01-01 10:00:09 UTC")),
                "queued",
            ),
            (ended(1, "success", Some("2026-01-01 10:00:20 UTC")), same),
            // Times that cannot be compared count for nothing.
            (ended(2, "success", Some("2026-01-01T10:00:08Z")), "queued"),
            (ended(2, "failed", None), "queued"),
        ],
    )
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
            // Neither another branch nor a tag of the same name is the same.
            (pipeline(13, "topic", "failed"), "queued"),
            (tag(14, "success"), same),
            (pipeline(15, "main", "success"), "queued"),
            (pipeline(16, "main", "success"), same),
            // One that began before says nothing of how the branch stands.
            (pipeline(12, "main", "failed"), same),
            (pipeline(17, "main", "success"), same),
            // One that is tried again ends otherwise.
            (pipeline(18, "main", "failed"), "queued"),
            (pipeline(18, "main", "success"), "queued"),
            (pipeline(18, "main", "canceled"), same),
            (pipeline(19, "main", "success"), same),
        ],
    )?;
    let rows = client.query(
        "select ref, pipeline_id, status from lockstep.pipeline_status where schema = 'public' and project_id = 1 order by ref",
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
    // An event that comes again is not the one before itself, and leaves nothing.
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
    // What nobody is told of after all is not kept.
    let kept = "select count(*) from lockstep.event e where (e.payload is null) <> not exists (
                  select from lockstep.slack_delivery d where d.event = e.id)";
    assert_eq!(number(&mut client, kept)?, 0);
    // All of a batch, in its order.
    let texts: Vec<String> = [
        (30, "failed"),
        (31, "failed"),
        (29, "success"),
        (32, "success"),
    ]
    .map(|(id, status)| pipeline(id, "main", status).to_string())
    .to_vec();
    let rows = client.query(
        "select deliveries from lockstep.publish_events($1::text[]::json[], '{a,b,c,d}') order by place",
        &[&texts],
    )?;
    let deliveries: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(deliveries, [1, 0, 0, 1]);
    // Kept also while nobody asks for it.
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

/// Two pipelines of one branch that end at the same time: the second waits for the first and is compared with it.
#[test]
fn pipelines_of_a_branch_take_turns() -> Result<()> {
    for (name, commit) in [
        ("filter_turns_commit", true),
        ("filter_turns_rollback", false),
    ] {
        let mut client = told(name)?;
        set(&mut client, json!({"only_changed_pipelines": true}))?;
        for id in [1, 3] {
            // The first time there is no row yet that could be locked.
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

#[test]
fn nobody_is_told_of_muted_authors() -> Result<()> {
    let mut client = told("filter_muted")?;
    set(&mut client, json!({"muted_authors": ["@bot", "renovate"]}))?;
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
    // The host says nothing of who is who.
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
    // In a workspace twice, under two aliases, each channel is told once.
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
