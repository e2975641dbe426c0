//! Events, interactions and options: GitLab's are passed on, ours are not.

use anyhow::{Result, ensure};
use lockstep_tests::http::form;
use lockstep_tests::slack::caller::{block_actions, block_suggestion};
use serde_json::json;

use super::Scene;
use crate::slack_app::{EVENTS, INTERACTIONS, OPTIONS};

#[test]
fn events_of_gitlabs_agent_go_to_gitlab() -> Result<()> {
    let scene = Scene::set("pass_events")?;
    scene
        .stage
        .slack
        .install(&scene.team, &scene.ada, &["commands"])?;
    let (user, channel) = (&scene.ada, &scene.channel);
    for (event, status) in [
        (
            json!({ "type": "app_mention", "user": user, "channel": channel, "ts": "1.1", "text": "<@U0BOT> tea?" }),
            200,
        ),
        (
            json!({ "type": "message", "channel_type": "im", "user": user, "channel": "D1", "ts": "1.2", "text": "tea" }),
            200,
        ),
        (
            json!({ "type": "message", "channel_type": "mpim", "user": user, "channel": "G1", "ts": "1.3", "text": "tea" }),
            200,
        ),
        // Nobody's; GitLab says so.
        (json!({ "type": "team_join", "user": { "id": user } }), 204),
    ] {
        let envelope = scene.stage.slack.event(&scene.team, event)?;
        let reply = scene.stage.caller.event(EVENTS, &envelope)?;
        assert_eq!(reply.status, status, "{envelope}");
        let received = scene.gitlab.received();
        ensure!(received.len() == 1, "{envelope}: {received:?}");
        assert_eq!(received[0].body, envelope.to_string().as_bytes());
        assert_eq!(received[0].path, EVENTS);
        scene.gitlab.forget();
    }
    assert_eq!(scene.gitlab.events().len(), 3);

    // Ours.
    let home = scene.stage.slack.home_opened(&scene.team, &scene.ada)?;
    let revoked = scene.stage.slack.event(
        &scene.team,
        json!({ "type": "tokens_revoked", "tokens": { "bot": [] } }),
    )?;
    for envelope in [home, revoked] {
        assert_eq!(scene.stage.caller.event(EVENTS, &envelope)?.status, 200);
    }
    let asked = scene.stage.caller.url_verification(EVENTS, "a challenge")?;
    assert_eq!(asked.json()?, json!({ "challenge": "a challenge" }));
    ensure!(scene.gitlab.received().is_empty());
    Ok(())
}

#[test]
fn interactions_with_our_ids_stay() -> Result<()> {
    let scene = Scene::set("pass_ours")?;
    let (app, origin) = (scene.stage.slack.app(), scene.origin());
    let view = json!({ "id": "V1", "type": "home", "callback_id": "" });
    let switched = block_actions(
        &app,
        &origin,
        Some(&view),
        &json!([{ "action_id": "switch_off", "value": "1", "action_ts": "1.1" }]),
    );
    let reply = scene.stage.caller.interaction(INTERACTIONS, &switched)?;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let asked = block_suggestion(&app, &origin, Some(&view), "more", "project_picker", "one");
    let offered = scene.stage.caller.interaction(OPTIONS, &asked)?;
    ensure!(offered.text().contains("group/one"), "{}", offered.text());
    ensure!(scene.gitlab.received().is_empty());
    Ok(())
}

/// Whatever they contain: GitLab verifies the bytes.
#[test]
fn interactions_come_as_they_are() -> Result<()> {
    let scene = Scene::set("pass_bytes")?;
    for payload in [
        r#"{"type":"shortcut","team":{"id":"T1"},"callback_id":"ünknown"}"#,
        r#"{ "type" : "block_actions", "actions" : [ {"action_id":"x\u00e4","value":"1e400"} ] }"#,
        r#"{"type":"view_closed","view":{"callback_id":"of_others"}}"#,
    ] {
        let body = format!("more=1&{}&again=%2f", form(&[("payload", payload)]));
        let kind = lockstep_tests::http::FORM;
        let reply = scene
            .stage
            .caller
            .post(INTERACTIONS, kind, body.as_bytes())?;
        ensure!(
            [200, 204].contains(&reply.status),
            "{}: {}",
            reply.status,
            reply.text()
        );
        let received = scene.gitlab.received();
        ensure!(received.len() == 1 && received[0].body == body.as_bytes());
        scene.gitlab.forget();
    }
    Ok(())
}
