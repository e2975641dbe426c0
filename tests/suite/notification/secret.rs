//! What a webhook's secret allows: one event per request, for its own projects, and no memory for unauthenticated requests.

use std::io::{Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{Webhook, push};
use lockstep_tests::http::Reply;
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::notification::app::{Scene, TOKEN, assert_taken};
use crate::notification::hook::{OTHER_SIGNING_TOKEN, SIGNING_TOKEN, assert_ignored};
use crate::slack_app::{Sidecar, http};

const HOOKS: &str = "/gitlab/hooks";

/// A second sidecar in the scene.
fn sidecar(scene: &Scene, arguments: &[String]) -> Result<Sidecar> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let sidecar = Sidecar::start(&scene.stage.url, &scene.stage.slack, &arguments)?;
    sidecar.wait_until_ready()?;
    Ok(sidecar)
}

/// An intercepted signed request is useless, whatever unsigned headers are added.
#[test]
fn what_was_signed_is_told_once() -> Result<()> {
    let mut scene = Scene::new("notification_replay")?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let sidecar = sidecar(&scene, &[format!("--gitlab-signing-token={SIGNING_TOKEN}")])?;
    let webhook = Webhook::new(&sidecar.base, PATIENCE).with_signing_token(SIGNING_TOKEN);
    let body = push(1, "Boil the water").to_string();
    let signed = webhook.headers("the-id", "Push Hook", body.as_bytes());
    let send = |other: &[(&str, &str)]| -> Result<Reply> {
        let headers = signed.iter().map(|(name, value)| {
            let instead = other.iter().find(|(changed, _)| changed == name);
            (*name, instead.map_or(&**value, |(_, value)| value))
        });
        let headers: Vec<(&str, &str)> = headers.filter(|(_, value)| !value.is_empty()).collect();
        let url = format!("{}{HOOKS}", sidecar.base);
        Ok(http().send("POST", &url, &headers, body.as_bytes())?)
    };
    assert_taken(&send(&[])?, 1)?;
    for other in [
        &[][..],
        &[("idempotency-key", "another")],
        &[("idempotency-key", "")],
        &[
            ("x-gitlab-event-uuid", "another"),
            ("x-gitlab-webhook-uuid", "another"),
        ],
    ] {
        let reply = send(other)?;
        ensure!(reply.status == 200, "{other:?}: {}", reply.text());
        assert_eq!(reply.json()?, json!({ "duplicate": true }), "{other:?}");
    }
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}

/// A project maintainer knows the secret of its webhook, and cannot speak for other projects.
#[test]
fn secret_of_a_path_tells_of_its_projects_alone() -> Result<()> {
    let mut scene = Scene::new("notification_paths")?;
    let general = scene.channel("general");
    scene.stage.client.batch_execute(
        "insert into namespaces (id, name, path, type, traversal_ids, organization_id) values
           (900, 'g', 'far', 'Group', '{900}', 1), (901, 'g', 'away', 'Group', '{900, 901}', 1), (902, 'g', 'far-off', 'Group', '{902}', 1);
         insert into projects (id, name, path, namespace_id) values (900, 'x', 'x', 900), (901, 'y', 'y', 901), (902, 'z', 'z', 902)",
    )?;
    for project in [900, 901, 902] {
        scene.connect("project_id", project)?;
        scene.set("project_id", project, &json!({ "channels": ["#general"] }))?;
    }
    let sidecar = sidecar(
        &scene,
        &[
            format!("--gitlab-token={TOKEN}"),
            // Paths are case-insensitive, as in GitLab.
            "--gitlab-token-of=Far=the token of a group".to_owned(),
            "--gitlab-token-of=far-off/none=the token of a project".to_owned(),
            "--gitlab-token-of=far/away/y=the token of a project".to_owned(),
            format!("--gitlab-signing-token-of=far/away={SIGNING_TOKEN}"),
            format!("--gitlab-signing-token={OTHER_SIGNING_TOKEN}"),
        ],
    )?;
    let bare = Webhook::new(&sidecar.base, PATIENCE);
    let group = bare.clone().with_token("the token of a group");
    let subgroup = bare.clone().with_signing_token(SIGNING_TOKEN);
    let project = bare.clone().with_token("the token of a project");
    let refused = |webhook: &Webhook, event: &serde_json::Value| -> Result<()> {
        let reply = webhook.send(event)?;
        assert_ignored(&reply, "")?;
        ensure!(!reply.text().contains("far"), "{}", reply.text());
        Ok(())
    };
    for (webhook, other) in [(&group, 902), (&subgroup, 900), (&project, 900)] {
        for id in [other, 1, 4_040_404] {
            refused(webhook, &push(id, "Spill the water")).with_context(|| id.to_string())?;
        }
        // Where the path is missing, malformed or given twice.
        let mut event = push(901, "Spill the water");
        event["project"] = json!({ "path_with_namespace": "far/away/y" });
        event["project_id"] = json!(other);
        refused(webhook, &event)?;
        event["project_id"] = json!(null);
        refused(webhook, &event)?;
        event["project"] = json!({ "id": "901" });
        event["project_id"] = json!(901);
        refused(webhook, &event)?;
        let mention = json!({
            "object_kind": "group_mention", "project": { "id": 901 }, "mentioned": { "object_kind": "group", "id": 1 },
            "object_attributes": { "object_kind": "issue" },
        });
        refused(webhook, &mention)?;
    }
    assert_eq!(scene.count("lockstep_internal.event")?, 0);
    let all = bare.clone().with_token(TOKEN);
    let all_signed = bare.with_signing_token(OTHER_SIGNING_TOKEN);
    let taken = [
        (&group, 900),
        (&group, 901),
        (&subgroup, 901),
        (&project, 901),
        (&all, 902),
        (&all_signed, 902),
    ];
    for (webhook, id) in taken {
        assert_taken(&webhook.send(&push(id, "Boil the water"))?, 1)?;
    }
    // A vulnerability event has its project in another field.
    let vulnerability = json!({
        "object_kind": "vulnerability", "object_attributes": { "project_id": 901, "title": "Water", "state": "detected", "severity": "high" },
    });
    assert_taken(&group.send(&vulnerability)?, 1)?;
    assert_eq!(scene.settled(&general)?.len(), taken.len() + 1);
    Ok(())
}

/// A request without anything like a signature is answered at once, without waiting for its announced body.
#[test]
fn body_without_a_signature_is_not_read() -> Result<()> {
    let scene = Scene::new("notification_unread")?;
    let sidecar = sidecar(&scene, &[format!("--gitlab-signing-token={SIGNING_TOKEN}")])?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let address = sidecar.base.trim_start_matches("http://");
    for signature in [
        "x",
        "v1,",
        "v1,AAAA",
        "v2,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    ] {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST {HOOKS} HTTP/1.1\r\nhost: {address}\r\ncontent-length: 8000000\r\nwebhook-id: 1\r\nwebhook-timestamp: {}\r\n\
             webhook-signature: {signature}\r\n\r\n",
            now.as_secs()
        )?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        // A body that never arrives is answered with 408.
        assert_eq!(&answer, b"HTTP/1.1 401", "{signature}");
    }
    Ok(())
}
