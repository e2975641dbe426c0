//! GitLab's modal for incidents, from the command that opens it to the message in the channel.

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::Fault;
use lockstep_tests::http::Reply;
use lockstep_tests::slack::Modal;
use lockstep_tests::slack::caller::{
    Origin, block_actions, block_suggestion, view_closed, view_submission,
};
use serde_json::{Value, json};

use super::Scene;
use crate::slack_app::{COMMANDS, INTERACTIONS, OPTIONS};

fn open(scene: &Scene, origin: &Origin) -> Result<Value> {
    let caller = &scene.stage.caller;
    let reply = caller.command(COMMANDS, origin, "/gitlab", "incident declare")?;
    ensure!(reply.text().contains("Fill in"), "{}", reply.text());
    let modals = scene.stage.slack.modals();
    let modal: &Modal = modals.last().context("no modal")?;
    let mut view = modal.view.clone();
    view["id"] = json!(modal.id);
    Ok(view)
}

fn interact(scene: &Scene, payload: &Value) -> Result<Reply> {
    scene.stage.caller.interaction(INTERACTIONS, payload)
}

#[test]
fn incident_is_declared() -> Result<()> {
    let scene = Scene::set("pass_modal")?;
    let slack = &scene.stage.slack;
    let (_, token) = slack.install(&scene.team, &scene.ada, &["commands"])?;
    scene
        .gitlab
        .reach_slack(&slack.base_url(), &token.access_token);
    let (app, origin) = (slack.app(), scene.origin());
    let view = open(&scene, &origin)?;

    for (action, typed, expected) in [
        ("assignee", "Ada", "Ada Lovelace - ada"),
        ("labels", "priority", "priority::high"),
    ] {
        let asked = block_suggestion(&app, &origin, Some(&view), "b", action, typed);
        let offered = scene.stage.caller.interaction(OPTIONS, &asked)?.json()?;
        assert_eq!(offered["options"][0]["text"]["text"], expected, "{offered}");
    }

    let actions = json!([{
        "action_id": "incident_management_project", "block_id": "project_and_severity_selector",
        "type": "static_select", "selected_option": { "value": "group/two" },
    }]);
    let changed = interact(&scene, &block_actions(&app, &origin, Some(&view), &actions))?;
    assert_eq!((changed.status, changed.text()), (200, String::new()));
    ensure!(slack.modals()[0].view.to_string().contains("group/two"));

    let values = json!({ "title_input": { "title": { "value": "No tea" } } });
    let sent = interact(&scene, &view_submission(&app, &origin, &view, &values))?;
    assert_eq!((sent.status, sent.text()), (200, String::new()));
    let told = scene.late(1)?;
    assert_eq!(told["text"], "The incident No tea is declared.");

    let closed = interact(&scene, &view_closed(&app, &origin, &view))?;
    assert_eq!((closed.status, closed.text()), (200, String::new()));
    let told = scene.late(2)?;
    assert_eq!(told["text"], "No incident was declared.");
    Ok(())
}

/// The input is not lost when GitLab fails, and the user sees an error.
#[test]
fn modal_stays_open_when_gitlab_fails() -> Result<()> {
    let scene = Scene::set("pass_modal_fails")?;
    let (app, origin) = (scene.stage.slack.app(), scene.origin());
    let view = json!({
        "id": "V1", "callback_id": "incident_modal",
        "blocks": [
            { "type": "section", "block_id": "words" },
            { "type": "input", "block_id": "title_input" },
        ],
    });
    scene.gitlab.fail(&[Fault::Status(502)], true);
    let sent = interact(&scene, &view_submission(&app, &origin, &view, &json!({})))?;
    let answer = sent.json()?;
    assert_eq!(
        (sent.status, &answer["response_action"]),
        (200, &json!("errors"))
    );
    let said = answer["errors"]["title_input"].as_str().unwrap_or_default();
    ensure!(said.contains("GitLab failed (status 502)"), "{answer}");

    // For other interactions Slack shows that it failed.
    let clicked = block_actions(&app, &origin, Some(&view), &json!([{ "action_id": "a" }]));
    let asked = block_suggestion(&app, &origin, Some(&view), "b", "assignee", "A");
    for reply in [
        interact(&scene, &clicked)?,
        interact(&scene, &view_closed(&app, &origin, &view))?,
        scene.stage.caller.interaction(OPTIONS, &asked)?,
    ] {
        assert_eq!(reply.status, 502, "{}", reply.text());
    }
    assert_eq!(scene.counted("failed")?, 4.0);
    Ok(())
}
