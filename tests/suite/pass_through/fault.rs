//! Whatever GitLab or something in its place responds: the user learns what happened to the command, and the operator what to do.

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockstep_tests::gitlab::{Fault, GitLab};
use lockstep_tests::slack::App;

use super::Scene;
use crate::slack_app::http;

const PASSWORD: &str = "a password of viewers";

#[test]
fn faults_are_explained_and_counted() -> Result<()> {
    let scene = Scene::set_with("pass_faults", &["--viewer-password", PASSWORD])?;
    let elsewhere = GitLab::start(App::default())?;
    let there = format!("{}/api/v4/slack/trigger", elsewhere.base_url());
    for (fault, label, said, hint) in [
        (
            Fault::Status(500),
            "failed",
            "GitLab failed (status 500)",
            "logs",
        ),
        (
            Fault::Status(503),
            "failed",
            "GitLab failed (status 503)",
            "logs",
        ),
        (
            Fault::Status(403),
            "forbidden",
            "refused it (status 403)",
            "allow-list",
        ),
        (
            Fault::Status(429),
            "refused",
            "refused it (status 429)",
            "rate limits",
        ),
        (Fault::Reset, "broken_off", "broke off", "logs"),
        (
            Fault::Garbage,
            "garbled",
            "not valid for Slack",
            "sign-in page",
        ),
        (
            Fault::Large(5_000_000),
            "too_large",
            "not valid for Slack",
            "--gitlab-url",
        ),
        (
            Fault::Redirect(there),
            "redirect",
            "refused it (status 302)",
            "redirects elsewhere",
        ),
    ] {
        let before = scene.counted(label)?;
        scene.gitlab.fail(std::slice::from_ref(&fault), false);
        let told = scene.told("group/one issue show 1")?;
        for words in [said, "For the app's operator", hint] {
            ensure!(told.contains(words), "{fault:?}: {told}");
        }
        assert_eq!(scene.counted(label)?, before + 1.0, "{fault:?}");
        let page = status(&scene)?;
        ensure!(
            page.contains(hint) && page.contains(&scene.gitlab.base_url()),
            "{page}"
        );
    }
    ensure!(elsewhere.received().is_empty(), "a redirect was followed");
    // Everything works again.
    let shown = scene.answer("group/one issue show 1")?;
    ensure!(shown["attachments"].is_array(), "{shown}");
    let page = status(&scene)?;
    ensure!(page.contains("answers"), "{page}");
    Ok(())
}

/// Someone with access opens the page.
fn status(scene: &Scene) -> Result<String> {
    let pair = format!("Basic {}", STANDARD.encode(format!("viewer:{PASSWORD}")));
    let url = format!("{}/status", scene.stage.sidecar.base);
    Ok(http().get(&url, &[("authorization", &pair)])?.text())
}

/// Mismatches of GitLab's two secrets are distinguished.
#[test]
fn secrets_that_differ_are_named() -> Result<()> {
    let scene = Scene::set("pass_secrets")?;
    scene
        .gitlab
        .change_app(|app| app.verification_token = "another".to_owned());
    let told = scene.told("group/one issue show 1")?;
    ensure!(
        told.contains("verification token") && told.contains("Nothing was done"),
        "{told}"
    );
    assert_eq!(scene.counted("not_found")?, 1.0);
    // Help does not need GitLab.
    let told = scene.told("help")?;
    ensure!(
        told.starts_with("*Commands*") && told.contains("verification token"),
        "{told}"
    );
    scene
        .gitlab
        .change_app(|app| app.signing_secret = "another".to_owned());
    let event = scene.stage.slack.install(&scene.team, &scene.ada, &[]);
    event?;
    let event = scene.stage.slack.event(
        &scene.team,
        serde_json::json!({ "type": "app_mention", "user": scene.ada }),
    )?;
    let reply = scene.stage.caller.event(crate::slack_app::EVENTS, &event)?;
    assert_eq!(reply.status, 502);
    assert_eq!(scene.counted("unsigned")?, 1.0);
    Ok(())
}
