//! GitLab is down, or its address belongs to something else.

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::GitLab;
use lockstep_tests::slack::App;
use serde_json::json;

use super::{Scene, nowhere};
use crate::slack_app::EVENTS;

#[test]
fn gitlab_goes_away_and_comes_back() -> Result<()> {
    let mut scene = Scene::set("pass_away")?;
    scene
        .stage
        .slack
        .install(&scene.team, &scene.ada, &["commands"])?;
    let port = scene.gitlab.address().port();
    let elsewhere = GitLab::start(App::default())?;
    // Its address is free then.
    drop(std::mem::replace(&mut scene.gitlab, elsewhere));
    let told = scene.told("group/one issue show 1")?;
    for words in [
        "cannot be reached",
        "Nothing was done",
        "lockstep-sidecar check",
    ] {
        ensure!(told.contains(words), "{told}");
    }
    let event = scene.stage.slack.event(
        &scene.team,
        json!({ "type": "app_mention", "user": scene.ada, "channel": scene.channel, "ts": "1.1" }),
    )?;
    // Slack sends an event again that was not accepted, and GitLab returns in the meantime.
    let mut back = None;
    let deliveries = scene.stage.caller.deliver(EVENTS, &event, |_| {
        if back.is_none() {
            back = GitLab::start_on(App::default(), port).ok();
        }
    });
    let failures: Vec<bool> = deliveries.iter().map(|it| it.failure.is_some()).collect();
    assert_eq!(failures, [true, false]);
    ensure!(back.is_some_and(|back| back.events().len() == 1));
    ensure!(scene.counted("unreachable")? == 2.0);
    Ok(())
}

#[test]
fn addresses_are_tried_in_turn() -> Result<()> {
    let gitlab = GitLab::start(App::default())?;
    let urls = format!("--gitlab-url={},{}", nowhere()?, gitlab.base_url());
    let scene = Scene::with_gitlab("pass_turn", gitlab, &[&urls])?;
    for _ in 0..3 {
        let shown = scene.answer("group/one issue show 1")?;
        ensure!(shown["attachments"].is_array(), "{shown}");
    }
    assert_eq!(scene.gitlab.received().len(), 3);
    assert_eq!(scene.counted("answered")?, 3.0);
    Ok(())
}
