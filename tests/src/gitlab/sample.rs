//! One event of each kind in the format of GitLab's webhooks, with the fields that notifications use and few others.

use serde_json::{Value, json};

/// An event, and its name in settings.
#[derive(Clone, Debug)]
pub struct Sample {
    pub event: &'static str,
    /// What a message about it must contain.
    pub says: &'static str,
    pub payload: Value,
}

const SHA: &str = "5c3d2b1a0f9e8d7c6b5a4f3e2d1c0b9a8f7e6d5c";
const BEFORE: &str = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567";

/// A push of one commit with that title to a project's default branch.
pub fn push(project: i64, title: &str) -> Value {
    let mut event = about(project, "push", json!({}));
    merge(
        &mut event,
        json!({
            "event_name": "push",
            "before": BEFORE,
            "after": SHA,
            "ref": "refs/heads/main",
            "ref_protected": true,
            "checkout_sha": SHA,
            "user_id": 1,
            "user_name": "Grace Hopper",
            "user_username": "grace",
            "project_id": project,
            "total_commits_count": 1,
            "commits": [commit(title)],
        }),
    );
    event
}

/// A finished pipeline of the default branch.
pub fn pipeline(project: i64, id: i64, status: &str) -> Value {
    let mut event = about(
        project,
        "pipeline",
        json!({
            "id": id,
            "iid": id,
            "ref": "main",
            "tag": false,
            "sha": SHA,
            "status": status,
            "detailed_status": if status == "success" { "passed" } else { status },
            "stages": ["build", "test"],
            "created_at": "2026-03-02 10:00:00 UTC",
            "finished_at": "2026-03-02 10:02:05 UTC",
            "duration": 125,
            "url": format!("https://gitlab.example.com/group/one/-/pipelines/{id}"),
        }),
    );
    merge(
        &mut event,
        json!({
            "commit": commit("Brew the tea"),
            "builds": [{ "id": 900 + id, "stage": "test", "name": "kettle", "status": status, "allow_failure": false }],
        }),
    );
    event
}

/// An action on a merge request: `open`, `merge` and so on.
pub fn merge_request(project: i64, id: i64, action: &str) -> Value {
    let mut event = about(
        project,
        "merge_request",
        json!({
            "id": id,
            "iid": id,
            "title": "Warm the pot first",
            "description": "Cold pots make cold tea.",
            "action": action,
            "state": if action == "merge" { "merged" } else { "opened" },
            "source_branch": "warm-pot",
            "target_branch": "main",
            "source_project_id": project,
            "target_project_id": project,
            "url": format!("https://gitlab.example.com/group/one/-/merge_requests/{id}"),
        }),
    );
    merge(
        &mut event,
        json!({ "event_type": "merge_request", "labels": [], "changes": {}, "reviewers": [] }),
    );
    event
}

/// All kinds, each such that somebody is notified.
pub fn samples(project: i64) -> Vec<Sample> {
    let sample = |event, says, payload| Sample {
        event,
        says,
        payload,
    };
    vec![
        sample("push", "Boil the water", push(project, "Boil the water")),
        sample("tag_push", "v1.2.0", tag_push(project)),
        sample("issue", "Kettle is cold", issue(project, "Issue", false)),
        sample(
            "confidential_issue",
            "Kettle is cold",
            issue(project, "Issue", true),
        ),
        sample(
            "incident",
            "Kettle is cold",
            issue(project, "Incident", false),
        ),
        sample(
            "merge_request",
            "Warm the pot first",
            merge_request(project, 71, "open"),
        ),
        sample("note", "Three minutes are enough", note(project, false)),
        sample(
            "confidential_note",
            "Three minutes are enough",
            note(project, true),
        ),
        sample("pipeline", "41", pipeline(project, 41, "failed")),
        sample("wiki_page", "How to brew", wiki_page(project)),
        sample("deployment", "tea-room", deployment(project)),
        sample("alert", "Kettle boils over", alert(project)),
        sample("vulnerability", "Hot surface", vulnerability(project)),
        sample("group_mention", "Ask everybody", mention(project, false)),
        sample(
            "group_confidential_mention",
            "Ask everybody",
            mention(project, true),
        ),
    ]
}

fn tag_push(project: i64) -> Value {
    let mut event = push(project, "Boil the water");
    merge(
        &mut event,
        json!({
            "object_kind": "tag_push",
            "event_name": "tag_push",
            "before": "0".repeat(40),
            "ref": "refs/tags/v1.2.0",
            "commits": [],
            "total_commits_count": 0,
        }),
    );
    event
}

fn issue(project: i64, kind: &str, is_confidential: bool) -> Value {
    let mut event = about(
        project,
        "issue",
        json!({
            "id": 51,
            "iid": 5,
            "title": "Kettle is cold",
            "description": "It was on for an hour.",
            "action": "open",
            "state": "opened",
            "type": kind,
            "confidential": is_confidential,
            "project_id": project,
            "url": "https://gitlab.example.com/group/one/-/issues/5",
        }),
    );
    let event_type = match is_confidential {
        true => "confidential_issue",
        false => "issue",
    };
    merge(
        &mut event,
        json!({ "event_type": event_type, "labels": [], "changes": {} }),
    );
    event
}

fn note(project: i64, is_confidential: bool) -> Value {
    let mut event = about(
        project,
        "note",
        json!({
            "id": 61,
            "note": "Three minutes are enough.",
            "noteable_type": "Issue",
            "noteable_id": 51,
            "action": "create",
            "system": false,
            "internal": is_confidential,
            "project_id": project,
            "url": "https://gitlab.example.com/group/one/-/issues/5#note_61",
        }),
    );
    let event_type = match is_confidential {
        true => "confidential_note",
        false => "note",
    };
    merge(
        &mut event,
        json!({
            "event_type": event_type,
            "project_id": project,
            "issue": {
                "id": 51,
                "iid": 5,
                "title": "Kettle is cold",
                "confidential": false,
                "labels": [],
                "state": "opened",
            },
        }),
    );
    event
}

fn wiki_page(project: i64) -> Value {
    let mut event = about(
        project,
        "wiki_page",
        json!({
            "title": "How to brew",
            "content": "Water, then leaves.",
            "format": "markdown",
            "message": "Say which water",
            "slug": "how-to-brew",
            "action": "create",
            "url": "https://gitlab.example.com/group/one/-/wikis/how-to-brew",
            "diff_url": "https://gitlab.example.com/group/one/-/wikis/how-to-brew/diff",
        }),
    );
    merge(
        &mut event,
        json!({ "wiki": { "web_url": "https://gitlab.example.com/group/one/-/wikis/home", "default_branch": "main" } }),
    );
    event
}

fn deployment(project: i64) -> Value {
    let mut event = about(project, "deployment", json!({}));
    merge(
        &mut event,
        json!({
            "status": "success",
            "status_changed_at": "2026-03-02 10:02:05 +0000",
            "deployment_id": 15,
            "deployable_id": 796,
            "deployable_url": "https://gitlab.example.com/group/one/-/jobs/796",
            "environment": "tea-room",
            "environment_tier": "production",
            "environment_external_url": "https://tea.example.com",
            "short_sha": &SHA[..8],
            "ref": "main",
            "user_url": "https://gitlab.example.com/grace",
            "commit_url": format!("https://gitlab.example.com/group/one/-/commit/{SHA}"),
            "commit_title": "Brew the tea",
        }),
    );
    event
}

fn alert(project: i64) -> Value {
    about(
        project,
        "alert",
        json!({
            "id": 81,
            "iid": 8,
            "title": "Kettle boils over",
            "severity": "critical",
            "events": 3,
            "status": "triggered",
            "started_at": "2026-03-02T10:00:00.000Z",
            "url": "https://gitlab.example.com/group/one/-/alert_management/8/details",
        }),
    )
}

fn vulnerability(project: i64) -> Value {
    about(
        project,
        "vulnerability",
        json!({
            "url": "https://gitlab.example.com/group/one/-/security/vulnerabilities/91",
            "title": "Hot surface",
            "state": "detected",
            "project_id": project,
            "severity": "high",
            "report_type": "sast",
            "identifiers": [{ "name": "CWE-1", "external_id": "1", "external_type": "cwe", "url": "https://cwe.example.com/1" }],
            "location": { "file": "kettle.rb", "start_line": 7 },
        }),
    )
}

fn mention(project: i64, is_confidential: bool) -> Value {
    let mut event = about(
        project,
        "group_mention",
        json!({
            "object_kind": "issue",
            "id": 51,
            "iid": 5,
            "title": "Ask everybody",
            "description": "@group what do you drink?",
            "confidential": is_confidential,
            "project_id": project,
            "url": "https://gitlab.example.com/group/one/-/issues/5",
        }),
    );
    let event_type = match is_confidential {
        true => "group_confidential_mention",
        false => "group_mention",
    };
    merge(
        &mut event,
        json!({
            "event_type": event_type,
            "mentioned": {
                "object_kind": "group",
                "id": 1,
                "name": "group",
                "full_path": "group",
                "url": "https://gitlab.example.com/groups/group",
            },
        }),
    );
    event
}

fn about(project: i64, kind: &str, object: Value) -> Value {
    let mut event = json!({
        "object_kind": kind,
        "user": { "id": 1, "name": "Grace Hopper", "username": "grace" },
        "project": {
            "id": project,
            "name": "One",
            "web_url": "https://gitlab.example.com/group/one",
            "path_with_namespace": "group/one",
            "default_branch": "main",
            "visibility_level": 20,
        },
    });
    if object.as_object().is_some_and(|fields| !fields.is_empty()) {
        event["object_attributes"] = object;
    }
    event
}

fn commit(title: &str) -> Value {
    json!({
        "id": SHA,
        "message": format!("{title}\n\nAs the recipe has it."),
        "title": title,
        "timestamp": "2026-03-02T10:00:00+00:00",
        "url": format!("https://gitlab.example.com/group/one/-/commit/{SHA}"),
        "author": { "name": "Grace Hopper", "email": "grace@example.com" },
        "added": ["pot"],
        "modified": [],
        "removed": [],
    })
}

fn merge(event: &mut Value, more: Value) {
    if let Value::Object(fields) = more {
        for (name, value) in fields {
            event[name] = value;
        }
    }
}
