//! GitLab is slow, and Slack waits for three seconds: the answer arrives once, at once or late.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::gitlab::Fault;
use nix::sys::signal::Signal;

use super::Scene;
use crate::concurrency::PATIENCE;
use crate::slack_app::COMMANDS;

/// Longer than any timeout.
const HANGING: Fault = Fault::Slow(Duration::from_secs(3_600));

#[test]
fn slow_answers_come_once() -> Result<()> {
    let scene = Scene::set("pass_slow")?;
    for milliseconds in [1_000, 2_900, 10_000] {
        let fault = Fault::Slow(Duration::from_millis(milliseconds));
        scene.gitlab.fail(&[fault], false);
        let before = scene.stage.slack.messages(&scene.channel).len();
        let answer = scene.answer("group/one issue show 1")?;
        assert_eq!(answer["response_type"], "in_channel", "{answer}");
        ensure!(answer.to_string().contains("Make tea"), "{answer}");
        let late = scene.stage.slack.messages(&scene.channel).len() - before;
        // On a busy machine the first may be late as well.
        ensure!(late == 1 || milliseconds == 1_000, "{milliseconds}: {late}");
    }
    assert_eq!(scene.gitlab.received().len(), 3);
    Ok(())
}

/// Our own list of commands does not wait for GitLab's.
#[test]
fn help_comes_at_once_and_gitlabs_later() -> Result<()> {
    let scene = Scene::set("pass_slow_help")?;
    scene
        .gitlab
        .fail(&[Fault::Slow(Duration::from_millis(2_900))], false);
    let said = scene.told_at_once("help")?;
    ensure!(
        said.starts_with("*Commands*") && said.contains("takes longer"),
        "{said}"
    );
    let late = scene.late(1)?;
    ensure!(
        late["text"]
            .as_str()
            .is_some_and(|text| text.contains("issue show")),
        "{late}"
    );
    Ok(())
}

#[test]
fn patience_has_an_end() -> Result<()> {
    let scene = Scene::set_with("pass_hanging", &["--gitlab-timeout=3"])?;
    scene.gitlab.fail(&[HANGING], false);
    let answer = scene.answer("group/one deploy staging to production")?;
    let text = answer["text"].as_str().unwrap_or_default();
    for words in ["not answered within 3 s", "may be done or not"] {
        ensure!(text.contains(words), "{answer}");
    }
    assert_eq!(answer["response_type"], "ephemeral");
    assert_eq!(scene.counted("too_slow")?, 1.0);
    Ok(())
}

/// It does not keep a modal open: GitLab reports the result in the channel.
#[test]
fn interactions_are_acknowledged_in_time() -> Result<()> {
    let scene = Scene::set_with("pass_slow_modal", &["--gitlab-timeout=3"])?;
    scene.gitlab.fail(&[HANGING], true);
    let payload =
        serde_json::json!({ "type": "view_submission", "view": { "callback_id": "of_gitlab" } });
    let caller = &scene.stage.caller;
    let reply = caller.interaction(crate::slack_app::INTERACTIONS, &payload)?;
    assert_eq!((reply.status, reply.text()), (200, String::new()));
    // What would be useless later is reported as failed.
    let asked = serde_json::json!({ "type": "block_suggestion", "action_id": "assignee" });
    let reply = caller.interaction(crate::slack_app::OPTIONS, &asked)?;
    assert_eq!(reply.status, 502);
    Ok(())
}

/// A hanging GitLab uses its own slots, and none that our own commands need.
#[test]
fn hanging_gitlab_keeps_nobody_else_waiting() -> Result<()> {
    const MANY: usize = 80;
    let scene = Scene::set("pass_places")?;
    scene.gitlab.fail(&[HANGING], true);
    let caller = &scene.stage.caller;
    let origins: Vec<_> = (0..MANY).map(|_| scene.origin()).collect();
    let told = thread::scope(|scope| -> Result<Vec<String>> {
        let give = |origin| caller.command(COMMANDS, origin, "/gitlab", "group/one issue show 1");
        let waiting: Vec<_> = origins
            .iter()
            .map(|origin| scope.spawn(move || give(origin)))
            .collect();
        let all_came = scene.gitlab.wait_for_requests(64, PATIENCE);
        ensure!(all_came, "{}", scene.gitlab.received().len());
        for _ in 0..20 {
            let said = scene.told_at_once("group/one status")?;
            ensure!(said.contains("group/one"), "{said}");
        }
        let told = waiting.into_iter().map(|waiting| {
            let reply = waiting.join();
            let reply = reply.unwrap_or_else(|_| Err(anyhow!("a thread ended")))?;
            Ok(reply.text())
        });
        told.collect()
    })?;
    let is_of = |words: &str| told.iter().filter(|told| told.contains(words)).count();
    assert_eq!(
        (is_of("takes longer"), is_of("Too many requests")),
        (64, MANY - 64),
        "{told:?}"
    );
    assert_eq!(scene.gitlab.received().len(), 64);
    assert_eq!(scene.counted("busy")?, (MANY - 64) as f64);
    Ok(())
}

/// An acknowledged command is answered even during a shutdown.
#[test]
fn answer_comes_though_it_stops() -> Result<()> {
    let mut scene = Scene::set("pass_stop")?;
    scene
        .gitlab
        .fail(&[Fault::Slow(Duration::from_millis(4_000))], false);
    let said = scene.told_at_once("group/one issue show 1")?;
    ensure!(said.contains("takes longer"), "{said}");
    scene.stage.sidecar.signal(Signal::SIGTERM)?;
    scene.stage.sidecar.wait_for_log("stopping")?;
    let late = scene.late(1)?;
    ensure!(late.to_string().contains("Make tea"), "{late}");
    let (status, log) = scene.stage.sidecar.end()?;
    ensure!(status == Some(0), "{log}");
    Ok(())
}
