//! The sidecar is told to stop, while somebody waits for its answer or nobody does.

use std::time::Instant;

use anyhow::{Result, ensure};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Fault};
use nix::sys::signal::Signal;

use super::fault::SLACKS_PATIENCE;
use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{COMMANDS, Sidecar, Stage};

#[test]
fn signal_lets_it_finish_and_a_second_one_does_not() -> Result<()> {
    let mut stage = Stage::set_with("app_stop", App::default(), &["--drain-delay=3600"])?;
    let begun = Instant::now();
    let runners = "select count(*) from lockstep_internal.job_runner";
    while number(&mut stage.client, runners)? == 0 {
        ensure!(begun.elapsed() < PATIENCE, "{}", stage.sidecar.log());
    }
    stage.sidecar.signal(Signal::SIGTERM)?;
    // It says so, and still responds.
    while !stage
        .sidecar
        .get("/readyz")?
        .text()
        .contains("\"draining\":true")
    {
        ensure!(begun.elapsed() < PATIENCE, "{}", stage.sidecar.log());
    }
    ensure!(
        stage.sidecar.get("/readyz")?.status == 503 && stage.sidecar.get("/healthz")?.status == 200
    );
    stage.sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = stage.sidecar.end()?;
    ensure!(status == Some(130), "{log}");
    let mut client = stage.client;
    assert_eq!(number(&mut client, runners)?, 0);
    Ok(())
}

/// Promises are kept even under time pressure: a reply that Slack does not accept now is left to other runners.
#[test]
fn late_reply_outlives_the_program() -> Result<()> {
    let name = "app_late_left";
    let mut stage = Stage::set_with(name, App::default(), &["--grace=1"])?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    let channel = stage.slack.create_channel(&team.id, "general");
    stage.connect(1)?;
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id.clone(),
        channel_id: channel.id.clone(),
        response_url: stage.slack.response_url(&team.id, &channel.id, &ada.id),
        ..Origin::default()
    };
    let mut holder = crate::database::cluster()?.connect(name)?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    stage
        .slack
        .fail("response_url", Fault::RateLimited(300), Some(1));
    let caller = stage.caller.clone().with_patience(SLACKS_PATIENCE);
    let reply = caller.command(COMMANDS, &origin, "/gitlab", "group/one status")?;
    ensure!(reply.text().contains("a moment longer"), "{}", reply.text());
    transaction.rollback()?;
    ensure!(stage.slack.wait_for_calls("response_url", 1, PATIENCE));
    stage.sidecar.signal(Signal::SIGTERM)?;
    let Stage {
        sidecar,
        slack,
        mut client,
        url,
        ..
    } = stage;
    let (status, log) = sidecar.end()?;
    ensure!(status == Some(0), "{log}");
    let left = "select count(*) from lockstep_internal.job where worker = 'Slack::ReplyWorker'";
    assert_eq!(number(&mut client, left)?, 1);
    let _other = Sidecar::start(&url, &slack, &[])?;
    ensure!(slack.wait_for_calls("response_url", 2, PATIENCE));
    let messages = slack.messages(&channel.id);
    ensure!(
        messages.len() == 1 && messages[0].text.contains("Active"),
        "{messages:?}"
    );
    Ok(())
}

/// If there is no answer in time, the user is told so.
#[test]
fn answer_that_never_came_is_told() -> Result<()> {
    let name = "app_late_none";
    let mut stage = Stage::set_with(name, App::default(), &["--grace=0"])?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    let channel = stage.slack.create_channel(&team.id, "general");
    stage.connect(1)?;
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id.clone(),
        channel_id: channel.id.clone(),
        response_url: stage.slack.response_url(&team.id, &channel.id, &ada.id),
        ..Origin::default()
    };
    let mut holder = crate::database::cluster()?.connect(name)?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    let caller = stage.caller.clone().with_patience(SLACKS_PATIENCE);
    let reply = caller.command(COMMANDS, &origin, "/gitlab", "group/one status")?;
    ensure!(reply.text().contains("a moment longer"), "{}", reply.text());
    stage.sidecar.signal(Signal::SIGTERM)?;
    let Stage {
        sidecar,
        slack,
        url,
        ..
    } = stage;
    sidecar.end()?;
    transaction.rollback()?;
    let _other = Sidecar::start(&url, &slack, &[])?;
    ensure!(slack.wait_for_calls("response_url", 1, PATIENCE));
    let messages = slack.messages(&channel.id);
    ensure!(
        messages.len() == 1 && messages[0].text.contains("was stopped before"),
        "{messages:?}"
    );
    Ok(())
}

/// A closed terminal causes a clean stop.
#[test]
fn hangup_is_a_signal_to_stop() -> Result<()> {
    let stage = Stage::set("app_hangup")?;
    stage.sidecar.signal(Signal::SIGHUP)?;
    let (status, log) = stage.sidecar.end()?;
    ensure!(status == Some(0) && log.contains("stopped"), "{log}");
    Ok(())
}
