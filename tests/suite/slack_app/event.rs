//! Events: once each, whatever Slack repeats, and never a reason for Slack to disable the app.

use anyhow::{Result, ensure};
use lockstep_tests::slack::Fault;
use lockstep_tests::slack::caller::RetryReason;
use lockstep_tests::slack::wrong_in_home;
use serde_json::{Value, json};

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{EVENTS, Stage};

const ROWS: &str = "select count(*) from slack_integrations";
const ENQUEUED: &str = "select count(*) from lockstep_internal.job where worker like 'Slack::%'";

/// A workspace with one project; returns the workspace and its user.
fn connected(name: &str) -> Result<(Stage, String, String)> {
    let mut stage = Stage::set(name)?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    Ok((stage, team.id, ada.id))
}

fn acknowledged(stage: &Stage, event: &Value) -> Result<()> {
    let reply = stage.caller.event(EVENTS, event)?;
    ensure!(
        reply.status == 200 && reply.json()? == json!({}),
        "{} {}",
        reply.status,
        reply.text()
    );
    Ok(())
}

#[test]
fn home_is_published_once_an_event() -> Result<()> {
    let (mut stage, team, ada) = connected("app_home_opened")?;
    let event = stage.slack.home_opened(&team, &ada)?;
    acknowledged(&stage, &event)?;
    ensure!(stage.slack.wait_for_calls("views.publish", 1, PATIENCE));
    // While its job waits or runs, and afterwards.
    let caller = stage.caller.clone();
    let retry = |number| caller.retry(EVENTS, &event, number, RetryReason::HttpTimeout);
    assert_eq!(retry(1)?.status, 200);
    stage.wait_for("select not exists (select from lockstep_internal.job)")?;
    assert_eq!(retry(2)?.status, 200);
    assert_eq!(number(&mut stage.client, ENQUEUED)?, 0);
    assert_eq!(stage.slack.calls_of("views.publish").len(), 1);

    let Some(home) = stage.slack.home(&ada) else {
        anyhow::bail!("no home");
    };
    assert_eq!(wrong_in_home(&home.view), [""; 0]);
    let text = home.view.to_string();
    for words in ["group/one", "Switch off", "active"] {
        ensure!(text.contains(words), "{text}");
    }
    // The app's other tab is not ours.
    let mut messages = stage.slack.home_opened(&team, &ada)?;
    messages["event"]["tab"] = json!("messages");
    acknowledged(&stage, &messages)?;
    assert_eq!(number(&mut stage.client, ENQUEUED)?, 0);
    ensure!(
        stage
            .sidecar
            .metric(&["lockstep_slack_event_outcomes_total", "duplicate"])?
            >= 2.0
    );
    Ok(())
}

/// A job that failed for good is retried when Slack sends the event again.
#[test]
fn retry_after_a_failure_runs() -> Result<()> {
    let (mut stage, team, ada) = connected("app_failed_event")?;
    let event = stage.slack.home_opened(&team, &ada)?;
    stage
        .slack
        .fail("views.publish", Fault::Error("not_enabled"), None);
    acknowledged(&stage, &event)?;
    stage.wait_for("select exists (select from lockstep_internal.job where failures = 1)")?;
    // As if it had used up all its retries.
    stage
        .client
        .batch_execute("update lockstep_internal.job set status = 'dead', died_at = now()")?;
    stage.slack.clear_faults();
    assert_eq!(
        stage
            .caller
            .retry(EVENTS, &event, 1, RetryReason::HttpTimeout)?
            .status,
        200
    );
    stage.wait_for("select not exists (select from lockstep_internal.job)")?;
    ensure!(stage.slack.home(&ada).is_some());
    Ok(())
}

/// What Slack says is stored with the job, whatever it is made of, and holds up no other job.
#[test]
fn an_error_that_is_no_text_is_stored_like_any_other() -> Result<()> {
    let (mut stage, team, ada) = connected("app_nul_event")?;
    let bob = stage.slack.create_user(&team, "bob");
    let event = stage.slack.home_opened(&team, &ada)?;
    let fault = Fault::Error("no\0text");
    stage.slack.fail("views.publish", fault, Some(1));
    acknowledged(&stage, &event)?;
    let stored = "select exists (select from lockstep_internal.job where failures = 1 and last_error = 'Slack: no\u{fffd}text')";
    stage.wait_for(stored)?;
    let event = stage.slack.home_opened(&team, &bob.id)?;
    acknowledged(&stage, &event)?;
    stage.wait_for("select count(*) = 1 from lockstep_internal.job")?;
    ensure!(stage.slack.home(&bob.id).is_some());
    ensure!(!stage.sidecar.log().contains("no session with the queue"));
    Ok(())
}

#[test]
fn app_is_uninstalled_by_either_event_in_either_order() -> Result<()> {
    for (name, is_reversed) in [("app_uninstalled", false), ("app_revoked", true)] {
        let (mut stage, team, _) = connected(name)?;
        stage.slack.uninstall(&team);
        let mut events = stage.slack.take_events();
        ensure!(events.len() == 2, "{events:?}");
        if is_reversed {
            events.reverse();
        }
        for event in &events {
            acknowledged(&stage, event)?;
            assert_eq!(number(&mut stage.client, ROWS)?, 0);
            let tokens = "select count(*) from lockstep_internal.slack_installation";
            assert_eq!(number(&mut stage.client, tokens)?, 0);
        }
        let active = "select count(*) from integrations where active";
        assert_eq!(number(&mut stage.client, active)?, 0);
    }
    Ok(())
}

/// Slack retries undeliverable events for minutes: by then the app may be installed again.
#[test]
fn uninstallation_that_comes_late_spares_a_new_installation() -> Result<()> {
    let (mut stage, team, _) = connected("app_late_uninstall")?;
    stage.slack.uninstall(&team);
    let mut events = stage.slack.take_events();
    stage.connect(1)?;
    for event in &mut events {
        let at = event["event_time"].as_i64().unwrap_or_default();
        event["event_time"] = json!(at - 60);
        acknowledged(&stage, event)?;
    }
    assert_eq!(number(&mut stage.client, ROWS)?, 1);
    Ok(())
}

#[test]
fn revoked_tokens_of_users_are_no_business_of_the_app() -> Result<()> {
    let (mut stage, team, ada) = connected("app_user_tokens")?;
    let event = stage.slack.event(
        &team,
        json!({ "type": "tokens_revoked", "tokens": { "oauth": [ada], "bot": [] } }),
    )?;
    acknowledged(&stage, &event)?;
    assert_eq!(number(&mut stage.client, ROWS)?, 1);
    Ok(())
}

#[test]
fn unknown_events_are_acknowledged_and_counted() -> Result<()> {
    let (mut stage, team, ada) = connected("app_unknown_events")?;
    for kind in [
        "message",
        "app_mention",
        "team_access_revoked",
        "an event of tomorrow",
    ] {
        let event = stage
            .slack
            .event(&team, json!({ "type": kind, "user": ada }))?;
        acknowledged(&stage, &event)?;
    }
    assert_eq!(
        number(
            &mut stage.client,
            "select count(*) from lockstep_internal.slack_event"
        )?,
        0
    );
    assert_eq!(
        stage
            .sidecar
            .metric(&["lockstep_slack_events_total", "unknown"])?,
        4.0
    );
    let reply = stage.caller.url_verification(EVENTS, "a challenge")?;
    assert_eq!(reply.json()?, json!({ "challenge": "a challenge" }));
    Ok(())
}
