//! Webhooks that are refused, and what is read of those that are taken.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{Webhook, push};
use lockstep_tests::http::Reply;
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::notification::app::{Scene, TOKEN, assert_taken};
use crate::slack_app::Sidecar;

pub(crate) const SIGNING_TOKEN: &str = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
pub(crate) const OTHER_SIGNING_TOKEN: &str = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

/// A scene whose project 1 notifies #general.
pub(super) fn scene(name: &str, arguments: &[&str]) -> Result<(Scene, String)> {
    let mut scene = Scene::with(name, arguments)?;
    let general = scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    Ok((scene, general))
}

pub(super) fn assert_problem(reply: &Reply, status: u16) -> Result<()> {
    ensure!(
        reply.status == status,
        "{} instead of {status}: {}",
        reply.status,
        reply.text()
    );
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    let problem = reply.json()?;
    let title = problem["title"].as_str().unwrap_or_default();
    ensure!(!title.is_empty(), "{problem}");
    Ok(())
}

/// Accepted without notifying anybody: GitLab disables a webhook that is refused too often.
pub(crate) fn assert_ignored(reply: &Reply, says: &str) -> Result<()> {
    ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    let answer = reply.json()?;
    assert_eq!(answer["deliveries"], 0, "{answer}");
    let why = answer["ignored"].as_str().unwrap_or_default();
    ensure!(why.contains(says), "{answer}");
    Ok(())
}

fn assert_nothing_written(scene: &mut Scene) -> Result<()> {
    assert_eq!(scene.count("lockstep_internal.event")?, 0);
    assert_eq!(scene.count("lockstep_internal.slack_delivery")?, 0);
    assert_eq!(scene.count("lockstep_internal.slack_channel")?, 0);
    assert_eq!(scene.count("lockstep_internal.pipeline_status")?, 0);
    Ok(())
}

#[test]
fn webhook_must_know_the_token() -> Result<()> {
    let (mut scene, general) = scene("notification_token", &[])?;
    let bare = Webhook::new(&scene.stage.sidecar.base, PATIENCE);
    let longer = format!("{TOKEN}x");
    for wrong in [
        bare.clone(),
        bare.clone().with_token(""),
        bare.clone().with_token("secret"),
        bare.clone().with_token(&TOKEN[1..]),
        bare.clone().with_token(&longer),
        bare.clone().with_token(&TOKEN.to_uppercase()),
        // The sidecar has no key to verify it with.
        bare.with_signing_token(SIGNING_TOKEN),
    ] {
        assert_problem(&wrong.send(&push(1, "Boil the water"))?, 401)?;
        // Without authentication the response does not reveal whether the body is JSON.
        assert_problem(&wrong.post("k", "Push Hook", b"{")?, 401)?;
    }
    assert_nothing_written(&mut scene)?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}

/// Refused by its headers, before the body has arrived: the response is received, and the connection stays usable.
#[test]
fn refusal_is_heard_though_the_body_comes_late() -> Result<()> {
    let (mut scene, _) = scene("notification_heard", &[])?;
    let address = scene.stage.sidecar.base.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(PATIENCE))?;
    let mut answers = BufReader::new(connection.try_clone()?);
    let mut status = || -> Result<String> {
        let (mut status, mut line, mut length) = (String::new(), String::new(), 0);
        answers.read_line(&mut status)?;
        while answers.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            line.clear();
        }
        answers.read_exact(&mut vec![0; length])?;
        Ok(status.trim().to_owned())
    };
    let body = vec![b'x'; 1 << 20];
    for (path, expected) in [
        ("/gitlab/hooks", "HTTP/1.1 401 Unauthorized"),
        ("/api/v4/slack/trigger", "HTTP/1.1 401 Unauthorized"),
        ("/nowhere", "HTTP/1.1 404 Not Found"),
    ] {
        write!(
            connection,
            "POST {path} HTTP/1.1\r\nhost: {address}\r\nx-gitlab-token: wrong\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )?;
        assert_eq!(status()?, expected, "{path}");
        connection.write_all(&body)?;
    }
    write!(connection, "GET / HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    assert_eq!(status()?, "HTTP/1.1 200 OK");
    assert_nothing_written(&mut scene)
}

#[test]
fn webhook_must_be_signed() -> Result<()> {
    let (mut scene, general) = scene("notification_signed", &[])?;
    let signing = format!("--gitlab-signing-token={SIGNING_TOKEN}");
    let sidecar = Sidecar::start(&scene.stage.url, &scene.stage.slack, &[&signing])?;
    sidecar.wait_until_ready()?;
    let bare = Webhook::new(&sidecar.base, PATIENCE);
    let right = bare.clone().with_signing_token(SIGNING_TOKEN);
    let event = push(1, "Boil the water");
    for wrong in [
        bare.clone(),
        bare.clone().with_token(TOKEN),
        bare.clone().with_token(SIGNING_TOKEN),
        bare.clone().with_signing_token(OTHER_SIGNING_TOKEN),
        right.clone().with_skew(-3600),
        right.clone().with_skew(3600),
    ] {
        assert_problem(&wrong.send(&event)?, 401)?;
    }
    // Signed, but with another body, another id, another time.
    let body = event.to_string();
    let signed = right.headers("the-id", "Push Hook", body.as_bytes());
    let forge = |change: &dyn Fn(&str, &str) -> String, body: &str| -> Result<Reply> {
        let headers: Vec<(&str, String)> = signed
            .iter()
            .map(|(name, value)| (*name, change(name, value)))
            .collect();
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let url = format!("{}/gitlab/hooks", sidecar.base);
        Ok(crate::slack_app::http().send("POST", &url, &headers, body.as_bytes())?)
    };
    let same = |_: &str, value: &str| value.to_owned();
    let instead = |changed: &'static str, by: &'static str| {
        move |name: &str, value: &str| match name == changed {
            true => by.to_owned(),
            false => value.to_owned(),
        }
    };
    let other_body = body.replace("Boil", "Spill");
    assert_problem(&forge(&same, &other_body)?, 401)?;
    for (name, by) in [
        ("webhook-id", "another-id"),
        ("webhook-timestamp", "1700000000"),
        ("webhook-timestamp", "now"),
        ("webhook-signature", ""),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,AAAA"),
        ("webhook-signature", "v1a,AAAA"),
    ] {
        assert_problem(&forge(&instead(name, by), &body)?, 401).context(by)?;
    }
    assert_nothing_written(&mut scene)?;

    // One of several signatures is enough: that is how keys are rotated.
    let right_signature = signed
        .iter()
        .find(|(name, _)| *name == "webhook-signature")
        .map(|(_, value)| value.clone())
        .context("not signed")?;
    let several = format!("v1,AAAA {right_signature}");
    let reply = forge(
        &move |name, value| match name == "webhook-signature" {
            true => several.clone(),
            false => value.to_owned(),
        },
        &body,
    )?;
    assert_taken(&reply, 1)?;
    // An attacker can replay it, but not as another event: unsigned headers do not count.
    for header in ["idempotency-key", "x-gitlab-event-uuid"] {
        let again = forge(&instead(header, "another-key"), &body)?;
        assert_eq!(again.json()?, json!({ "duplicate": true }), "{header}");
    }
    assert_eq!(scene.settled(&general)?.len(), 1);
    Ok(())
}

#[test]
fn sidecar_without_a_secret_takes_no_webhooks() -> Result<()> {
    let (mut scene, _) = scene("notification_secretless", &[])?;
    let sidecar = Sidecar::start(&scene.stage.url, &scene.stage.slack, &[])?;
    sidecar.wait_until_ready()?;
    let bare = Webhook::new(&sidecar.base, PATIENCE);
    for webhook in [
        bare.clone(),
        bare.clone().with_token(""),
        bare.with_token(TOKEN),
    ] {
        let status = webhook.send(&push(1, "Boil the water"))?.status;
        ensure!((400..=503).contains(&status), "{status}");
    }
    assert_nothing_written(&mut scene)
}

#[test]
fn what_is_no_json_is_refused_and_what_tells_nothing_is_taken() -> Result<()> {
    let (mut scene, general) = scene("notification_malformed", &[])?;
    let without = |name: &str| {
        let mut event = push(1, "Boil the water");
        if let Some(fields) = event.as_object_mut() {
            fields.remove(name);
        }
        event
    };
    let with = |name: &str, value: Value| {
        let mut event = push(1, "Boil the water");
        event[name] = value;
        event
    };
    let cases: [(Vec<u8>, Option<&str>); 14] = [
        (b"".to_vec(), None),
        (b"{".to_vec(), None),
        (b"{\"object_kind\": \"push\",}".to_vec(), None),
        (b"\xff\xfe".to_vec(), None),
        (b"{} {}".to_vec(), None),
        (b"[]".to_vec(), Some("kind")),
        (b"7".to_vec(), Some("kind")),
        (b"{}".to_vec(), Some("kind")),
        (
            without("object_kind").to_string().into_bytes(),
            Some("kind"),
        ),
        (
            with("object_kind", json!("access_token"))
                .to_string()
                .into_bytes(),
            Some("access_token"),
        ),
        (
            with("object_kind", json!(7)).to_string().into_bytes(),
            Some("kind"),
        ),
        (without("ref").to_string().into_bytes(), Some("ref")),
        (
            with("ref", json!(["refs/heads/main"]))
                .to_string()
                .into_bytes(),
            Some("ref"),
        ),
        (
            push(404, "Boil the water").to_string().into_bytes(),
            Some("project"),
        ),
    ];
    let answered = |webhook: &Webhook, (body, says): &(Vec<u8>, Option<&str>)| -> Result<()> {
        let reply = webhook.post(&webhook.key(), "Push Hook", body)?;
        let checked = match says {
            Some(says) => assert_ignored(&reply, says),
            None => assert_problem(&reply, 400),
        };
        checked.with_context(|| String::from_utf8_lossy(body).into_owned())
    };
    for case in &cases {
        answered(&scene.webhook, case)?;
    }
    // GitLab's other events, of projects and of the instance.
    for kind in ["access_token", "project", "epic", "resource_deploy_token"] {
        let event = json!({ "object_kind": kind, "project": { "id": 1 } });
        assert_ignored(&scene.webhook.send(&event)?, kind)?;
    }
    for kind in [
        "user_add_to_group",
        "subgroup_create",
        "project_create",
        "repository_update",
        "key_create",
    ] {
        let event = json!({ "event_name": kind, "project_id": 1 });
        assert_ignored(&scene.webhook.send(&event)?, kind)?;
    }
    assert_nothing_written(&mut scene)?;
    assert_eq!(scene.stage.slack.calls_of("chat.postMessage"), []);

    // Valid ones are not affected by concurrent invalid ones.
    let webhook = &scene.webhook;
    let send = |number: usize| -> Result<()> {
        answered(webhook, &cases[number])?;
        assert_taken(&webhook.send(&push(1, &format!("Cup {number}")))?, 1)
    };
    thread::scope(|scope| -> Result<()> {
        let senders: Vec<_> = (0..8)
            .map(|number| scope.spawn(move || send(number)))
            .collect();
        senders
            .into_iter()
            .try_for_each(|sender| sender.join().ok().context("it panicked")?)
    })?;
    assert_eq!(scene.settled(&general)?.len(), 8);
    Ok(())
}

/// Everything that GitLab sends is read, however large; fields that no message shows use no memory.
#[test]
fn large_events_are_told_and_take_no_memory() -> Result<()> {
    let (mut scene, general) = scene("notification_large", &[])?;
    let memory = || scene.stage.sidecar.memory();
    let webhook = Webhook::new(&scene.stage.sidecar.base, PATIENCE).with_token(TOKEN);
    let before = memory()?;
    let mut event = push(1, "Boil the water").to_string();
    event.pop();
    let objects = format!("{event},\"unknown\":[{}0]}}", "{\"\":0},".repeat(300_000));
    let texts = format!("{event},\"message\":\"{}\"}}", "x".repeat(20 << 20));
    let commits = format!("{event},\"commits\":[{}{{}}]}}", "{},".repeat(700_000));
    for body in [objects, texts, commits] {
        let key = webhook.key();
        let send = || webhook.post(&key, "Push Hook", body.as_bytes());
        let begun = Instant::now();
        let mut reply = send()?;
        if reply.status != 503 {
            assert_taken(&reply, 1)?;
            continue;
        }
        // Beside other work it may take longer than its sender waits. Sent again it counts once, now or before.
        while reply.status == 503 && begun.elapsed() < PATIENCE {
            reply = send()?;
        }
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
    }
    let grown = memory()?.saturating_sub(before);
    ensure!(grown < 120 << 10, "{grown} kB");
    assert_eq!(scene.settled(&general)?.len(), 3);
    Ok(())
}
