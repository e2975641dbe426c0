//! The command, the App Home and the page say the same of a project, in the same words.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::{PASSWORD, get};
use crate::concurrency::PATIENCE;
use crate::notification::app::Scene;
use crate::slack_app::EVENTS;

/// What each of the three shows, without its markup.
fn shown(scene: &mut Scene) -> Result<[String; 3]> {
    let before = scene.stage.slack.calls_of("views.publish").len();
    let opened = scene.stage.slack.home_opened(&scene.team, &scene.ada)?;
    assert_eq!(scene.stage.caller.event(EVENTS, &opened)?.status, 200);
    let has_come = scene
        .stage
        .slack
        .wait_for_calls("views.publish", before + 1, PATIENCE);
    ensure!(has_come, "no home: {}", scene.stage.sidecar.log());
    let calls = scene.stage.slack.calls_of("views.publish");
    let home = calls.last().map(|call| call.arguments["view"].to_string());
    let page = get(scene, "/status", PASSWORD)?.text();
    Ok(
        [scene.status()?, home.unwrap_or_default(), page].map(|text| {
            text.replace("<code>", "")
                .replace("</code>", "")
                .replace('`', "")
                .replace("&amp;", "&")
                .to_lowercase()
        }),
    )
}

/// The page may be some seconds old.
fn wait_for(scene: &mut Scene, words: &str, is_there: bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let shown = shown(scene)?;
        let have = [0, 1, 2].map(|which| shown[which].contains(words));
        if have == [is_there; 3] {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{words}: {have:?} {shown:?}");
        sleep(Duration::from_millis(500));
    }
}

#[test]
fn all_three_say_the_same_of_each_trouble() -> Result<()> {
    let mut scene = Scene::with("status_same", &["--viewer-password", PASSWORD])?;
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    let trouble = |channel: &str, error: &str, needed: &str| {
        format!(
            "insert into lockstep_internal.slack_channel_trouble as t (schema, integration_id, team_id, channel, error, needed, since, last_at)
             select 'public', s.integration_id, s.team_id, '{channel}', '{error}', {needed}, now(), now() from slack_integrations s
                 on conflict (schema, integration_id, team_id, channel) do update set error = excluded.error, needed = excluded.needed"
        )
    };
    for (error, needed, words) in [
        (
            "is_archived",
            "null",
            "#general: the channel is archived: choose another (is_archived); one message was not sent",
        ),
        (
            "not_in_channel",
            "null",
            "#general: the app is not in that channel: invite it there with /invite @gitlab (not_in_channel); one message",
        ),
        (
            "missing_scope",
            "'chat:write'",
            "install it again, with all scopes (missing_scope, it lacks chat:write); one message",
        ),
        (
            "token_revoked",
            "null",
            "#general: the app must be installed again in this workspace (token_revoked)",
        ),
        (
            "restricted_action",
            "null",
            "#general: the workspace does not let apps write there",
        ),
        (
            "fatal_error",
            "null",
            "#general: slack did not accept it for an hour (fatal_error)",
        ),
        (
            "a_new_one",
            "null",
            "#general: slack does not accept it (a_new_one)",
        ),
    ] {
        scene
            .stage
            .client
            .batch_execute(&trouble("#general", error, needed))?;
        wait_for(&mut scene, words, true)?;
    }
    // It is reached again; another one is no longer notified.
    scene.stage.client.batch_execute(&format!(
        "delete from lockstep_internal.slack_channel_trouble; {}",
        trouble("#gone", "is_archived", "null")
    ))?;
    wait_for(&mut scene, "slack does not accept it", false)?;
    wait_for(&mut scene, "#gone", false)?;
    scene.stage.client.batch_execute(
        "delete from slack_integrations_scopes using slack_api_scopes a where a.id = slack_api_scope_id and a.name <> 'commands'",
    )?;
    wait_for(
        &mut scene,
        "the app lacks the scopes chat:write, chat:write.public",
        true,
    )
}
