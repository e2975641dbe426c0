//! How events are parsed, and errors in them.

use crate::notification::batch::batch;
use crate::notification::publish::{event, outcome, outcomes, switch, told};
use crate::service_account::number;
use crate::surface::refusal::refused;
use anyhow::{Context, Result, ensure};
use lockstep_tests::root;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// An event with this many nested lists.
fn nested(levels: usize) -> String {
    let (open, close) = ("[".repeat(levels), "]".repeat(levels));
    format!(r#"{{"object_kind": "alert", "project_id": 1, "x": {open}{close}}}"#)
}

#[test]
fn malformed_events_are_told_by_their_field() -> Result<()> {
    let mut client = told("notify_malformed")?;
    let attributes = |more: Value| json!({"object_attributes": more});
    let with = |kind: &str, more: Value| event(kind, 1, more);
    for (payload, field) in [
        (json!([]), "object_kind"),
        (json!("push"), "object_kind"),
        (json!({}), "object_kind"),
        (json!({"object_kind": 1}), "object_kind"),
        (
            json!({"object_kind": "push", "ref": "refs/heads/main"}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": 1}),
            "project",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": "1"}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": 1.5}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project": {"id": 1e30}}),
            "project.id",
        ),
        (
            json!({"object_kind": "push", "ref": "x", "project_id": []}),
            "project_id",
        ),
        (
            json!({"object_kind": "note", "object_attributes": {"project_id": {}}}),
            "object_attributes.project_id",
        ),
        (with("push", json!({})), "ref"),
        (with("push", json!({"ref": null})), "ref"),
        (with("tag_push", json!({"ref": 7})), "ref"),
        (
            with("push", json!({"ref": "x", "ref_protected": "yes"})),
            "ref_protected",
        ),
        (with("push", json!({"ref": "x", "user": "root"})), "user"),
        (
            with("push", json!({"ref": "x", "user": {"username": 1}})),
            "user.username",
        ),
        (with("push", json!({"ref": "x", "user_id": "1"})), "user_id"),
        (
            with(
                "push",
                json!({"ref": "x", "project": {"id": 1, "default_branch": 1}}),
            ),
            "project.default_branch",
        ),
        (with("issue", json!({})), "object_attributes"),
        (
            with("merge_request", json!({"object_attributes": 1})),
            "object_attributes",
        ),
        (
            with("issue", attributes(json!({"action": 1}))),
            "object_attributes.action",
        ),
        (
            with("issue", attributes(json!({"confidential": "no"}))),
            "object_attributes.confidential",
        ),
        (
            with("issue", json!({"object_attributes": {}, "labels": "bug"})),
            "labels",
        ),
        (
            with(
                "issue",
                json!({"object_attributes": {}, "labels": [{"title": "a"}, {}]}),
            ),
            "labels[1].title",
        ),
        (
            with("issue", json!({"object_attributes": {}, "labels": [null]})),
            "labels[0]",
        ),
        (
            with("note", json!({"object_attributes": {}, "issue": []})),
            "issue",
        ),
        (
            with(
                "note",
                json!({"object_attributes": {}, "merge_request": {"labels": 1}}),
            ),
            "merge_request.labels",
        ),
        (
            with(
                "pipeline",
                attributes(json!({"status": "failed", "ref": "x"})),
            ),
            "object_attributes.id",
        ),
        (
            with("pipeline", attributes(json!({"id": 1, "ref": "x"}))),
            "object_attributes.status",
        ),
        (
            with("pipeline", attributes(json!({"id": 1, "status": "failed"}))),
            "object_attributes.ref",
        ),
        (json!({"object_kind": "group_mention"}), "mentioned.id"),
        (
            json!({"object_kind": "group_mention", "mentioned": {"id": "1"}}),
            "mentioned.id",
        ),
        (
            json!({"object_kind": "group_mention", "group": {"full_path": 1}}),
            "group.full_path",
        ),
    ] {
        let text = payload.to_string();
        let error = refused(
            &mut client,
            &format!("select lockstep.publish_event('{text}')"),
            "22023",
            "malformed",
        )?;
        let named = format!("\"{field}\"");
        ensure!(
            error.detail().is_some_and(|it| it.contains(&named)),
            "{text}: {error:?}"
        );
        let published = batch(&mut client, &[("k", Some(text.clone()))])?;
        assert_eq!(
            published,
            [("malformed".to_owned(), Some(field.to_owned()), 0)],
            "{text}"
        );
    }
    // Valid JSON that is not valid text; a duplicate key; excessive nesting.
    for (text, detail) in [
        (
            r#"{"object_kind": "push", "project_id": 1, "ref": "a\u0000b"}"#.to_owned(),
            "ref",
        ),
        (
            r#"{"object_kind": "push", "project_id": 1, "ref": "\ud800"}"#.to_owned(),
            "hex escape",
        ),
        (
            r#"{"object_kind": "push", "object_kind": "push"}"#.to_owned(),
            "duplicate field",
        ),
        // In fields that are not used here.
        (
            r#"{"object_kind": "alert", "project_id": 1, "x": "\uD83D"}"#.to_owned(),
            "hex escape",
        ),
        (nested(100), "more than 100 levels"),
        (nested(500), "more than 100 levels"),
    ] {
        let published = batch(&mut client, &[("k", Some(text))])?;
        ensure!(published[0].0 == "malformed", "{published:?}");
        ensure!(
            published[0]
                .1
                .as_ref()
                .is_some_and(|it| it.contains(detail)),
            "{published:?}"
        );
    }
    for (call, message) in [
        ("'{\"object_kind\": \"epic\"}'", "\"epic\" is not a kind"),
        (
            "'{\"object_kind\": \"lockstep_test\", \"project_id\": 1}'",
            "not a kind",
        ),
        (
            "'{\"object_kind\": \"alert\", \"project_id\": 1}', ''",
            "malformed",
        ),
        (
            "'{\"object_kind\": \"alert\", \"project_id\": 1}', repeat('x', 256)",
            "malformed",
        ),
    ] {
        refused(
            &mut client,
            &format!("select lockstep.publish_event({call})"),
            "22023",
            message,
        )?;
    }
    refused(
        &mut client,
        "select lockstep.publish_event('{\"object_kind\": \"alert\", \"project_id\": 99}')",
        "P0002",
        "project 99 does not exist",
    )?;
    for call in [
        "lockstep.publish_event(null)",
        "lockstep.publish_event('{}', schema => null)",
        "lockstep_api.publish_events(null, '{}')",
        "lockstep_api.publish_events('{}', null)",
    ] {
        refused(
            &mut client,
            &format!("select {call}"),
            "22004",
            "must not be null",
        )?;
    }
    assert_eq!(
        number(&mut client, "select count(*) from lockstep_internal.event")?,
        0
    );
    Ok(())
}

#[test]
fn the_project_is_found_by_whatever_names_it() -> Result<()> {
    let mut client = told("notify_project")?;
    for (payload, told) in [
        (
            json!({"project": {"id": 2}, "project_id": 3, "object_attributes": {"project_id": 4}}),
            2,
        ),
        (
            json!({"project": {"id": null}, "project_id": 3, "object_attributes": {"project_id": 4}}),
            3,
        ),
        (json!({"object_attributes": {"project_id": 4}}), 4),
    ] {
        let mut payload = payload;
        payload["object_kind"] = json!("alert");
        assert_eq!(
            outcomes(&mut client, &payload)?,
            [(told, "queued".to_owned())]
        );
    }
    Ok(())
}

/// Fields that no message shows.
const LEFT_OUT: [&str; 12] = [
    "artifacts_file",
    "avatar_url",
    "email",
    "git_http_url",
    "git_ssh_url",
    "http_url",
    "runner",
    "ssh_url",
    "st_diff",
    "user_avatar",
    "user_email",
    "variables",
];

/// Everything in an event is stored as received, except fields that are left out.
fn check_kept(path: &str, came: &Value, kept: &Value) -> Result<()> {
    match (came, kept) {
        (Value::Object(came), Value::Object(kept)) => {
            for (name, value) in came {
                let path = format!("{path}.{name}");
                match kept.get(name) {
                    Some(kept) => check_kept(&path, value, kept)?,
                    None => ensure!(LEFT_OUT.contains(&name.as_str()), "{path}"),
                }
            }
            let is_new =
                |name: &&String| !came.contains_key(*name) || LEFT_OUT.contains(&name.as_str());
            assert_eq!(kept.keys().find(is_new), None, "{path}");
        }
        (Value::Array(came), Value::Array(kept)) => {
            assert_eq!(came.len(), kept.len(), "{path}");
            for (came, kept) in came.iter().zip(kept) {
                check_kept(path, came, kept)?;
            }
        }
        (came, kept) => assert_eq!(came, kept, "{path}"),
    }
    Ok(())
}

#[test]
fn samples_of_the_host_are_told() -> Result<()> {
    let folder = root().join("../shared/data/gitlab-webhooks");
    let Ok(files) = fs::read_dir(&folder) else {
        eprintln!("skipped: no {}", folder.display());
        return Ok(());
    };
    let mut client = told("notify_sample")?;
    client.batch_execute(
        "insert into projects (id, path, namespace_id) values (15, 'p15', 1), (30, 'p30', 1);
         insert into integrations (id, project_id, type_new, category, active) select n, n, 'Integrations::GitlabSlackApplication', 'chat', true
           from unnest('{15,30}'::integer[]) n;
         insert into slack_integrations (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         select 'A', 'Team A', 'p' || n, 'U1', now(), now(), n from unnest('{15,30}'::integer[]) n;
         select lockstep.set_slack_notifications(id, '{\"channels\": \"#c\", \"only_broken_pipelines\": false, \"branches\": \"all\"}') from integrations",
    )?;
    switch(&mut client, true)?;
    let mut texts = BTreeMap::new();
    for file in files {
        let path = file?.path();
        let name = path
            .file_stem()
            .map(|it| it.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name != "headers" {
            texts.insert(name, fs::read_to_string(&path)?);
        }
    }
    ensure!(texts.len() >= 9, "{} samples", texts.len());
    let events: Vec<(&str, Option<String>)> = texts
        .iter()
        .map(|(name, text)| (name.as_str(), Some(text.clone())))
        .collect();
    for ((name, _), published) in texts.iter().zip(batch(&mut client, &events)?) {
        ensure!(
            published == ("published".to_owned(), None, 1),
            "{name}: {published:?}"
        );
    }
    for row in client.query(
        "select key, payload::text from lockstep_internal.event",
        &[],
    )? {
        let name: &str = row.get(0);
        let came = texts.get(name).context("another key")?;
        let kept: Value = serde_json::from_str(row.get(1))?;
        check_kept(name, &serde_json::from_str(came)?, &kept)?;
    }
    // Through the other entry point, too.
    for (name, text) in &texts {
        // A pipeline ends once, whatever brings it.
        let expected = match name.as_str() {
            "pipeline" => "repeated",
            _ => "queued",
        };
        let found = outcome(&mut client, &serde_json::from_str(text)?)?;
        ensure!(found == expected, "{name}: {found}");
    }
    Ok(())
}
