//! Failures of installations, tokens, clicks and the database in between: nothing is half done, and nobody is locked out.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::{Origin, block_actions};
use lockstep_tests::slack::{App, Decision, Fault};
use serde_json::json;

use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::slack_app::{
    EVENTS, INTERACTIONS, Sidecar, Stage, command, cookie_of, http, way_to_slack,
};

pub(crate) fn go(stage: &Stage, query: &str) -> Result<(String, String)> {
    let begun = http().get(&format!("{}/slack/install{query}", stage.sidecar.base), &[])?;
    let cookie = cookie_of(&begun)?;
    let consent = http().get(&way_to_slack(&begun)?, &[])?;
    Ok((
        consent.header("location").context("nowhere")?.to_owned(),
        cookie,
    ))
}

#[test]
fn one_ticket_two_browsers() -> Result<()> {
    let mut stage = Stage::set("app_t_ticket")?;
    let a = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&a.id, "ada");
    let b = stage.slack.create_workspace("Beta");
    let bob = stage.slack.create_user(&b.id, "bob");
    let ticket = stage.ticket(1)?;
    let query = format!("?ticket={ticket}");
    stage.slack.decide(Decision::Approve {
        tenant: a.id.clone(),
        user: ada.id,
    });
    let one = go(&stage, &query)?;
    stage.slack.decide(Decision::Approve {
        tenant: b.id.clone(),
        user: bob.id,
    });
    let two = go(&stage, &query)?;
    let first = http().get(&one.0, &[("cookie", &one.1)])?;
    assert_eq!(first.status, 200);
    let second = http().get(&two.0, &[("cookie", &two.1)])?;
    let stored: i64 = number(
        &mut stage.client,
        "select count(*) from lockstep_internal.slack_installation",
    )?;
    ensure!(
        second.status != 200 || stored == 2,
        "status {} stored {stored}: {}\n{}",
        second.status,
        second.text(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn uninstalling_a_workspace_spares_the_organization() -> Result<()> {
    let mut stage = Stage::set("app_t_org")?;
    let e = stage.slack.create_enterprise("Globex");
    let t = stage.slack.create_workspace_in(&e.id, "Globex East");
    let ada = stage.slack.create_user(&t.id, "ada");
    stage.slack.decide(Decision::Approve {
        tenant: e.id.clone(),
        user: ada.id.clone(),
    });
    stage.connect(1)?;
    stage.slack.decide(Decision::Approve {
        tenant: t.id.clone(),
        user: ada.id.clone(),
    });
    stage.connect(2)?;
    stage.slack.uninstall(&t.id);
    let events = stage.slack.take_events();
    for event in &events {
        ensure!(stage.caller.event(EVENTS, event)?.status == 200);
    }
    let query = format!(
        "select count(*) from slack_integrations where team_id = '{}'",
        e.id
    );
    let left = number(&mut stage.client, &query)?;
    ensure!(
        left == 1,
        "rows of the organization: {left}; events {events:?}\n{}",
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn browser_goes_away() -> Result<()> {
    let mut stage = Stage::set("app_t_browser")?;
    let a = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&a.id, "ada");
    let ticket = stage.ticket(1)?;
    let (back, cookie) = go(&stage, &format!("?ticket={ticket}"))?;
    stage.slack.fail(
        "oauth.v2.access",
        Fault::Slow(Duration::from_secs(1)),
        Some(1),
    );
    let rest = back.trim_start_matches("http://");
    let (host, path) = rest.split_once('/').context("no path")?;
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nhost: {host}\r\ncookie: {cookie}\r\n\r\n"
    )?;
    ensure!(
        stage
            .slack
            .wait_for_arrivals("oauth.v2.access", 1, PATIENCE)
    );
    drop(stream);
    ensure!(stage.slack.wait_for_calls("oauth.v2.access", 1, PATIENCE));
    thread::sleep(Duration::from_secs(2));
    let stored = number(
        &mut stage.client,
        "select count(*) from lockstep_internal.slack_installation",
    )?;
    let at_slack = stage.slack.installations().len();
    let again = http().get(&back, &[("cookie", &cookie)])?;
    ensure!(
        stored == 1,
        "stored {stored}, at Slack {at_slack}; the browser reloads: {} {}\n{}",
        again.status,
        again.text(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn old_click_is_not_done_after_a_new_one() -> Result<()> {
    let mut stage = Stage::set("app_t_click")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    let row: i64 = stage
        .client
        .query_one("select min(id) from slack_integrations", &[])?
        .get(0);
    let origin = Origin {
        team_id: Some(team),
        user_id: ada.clone(),
        ..Origin::default()
    };
    let app = stage.slack.app();
    let caller = stage.caller.clone();
    let click = |action: &str, at: &str| {
        let action = json!({ "type": "button", "action_id": action, "block_id": "b", "value": row.to_string(), "action_ts": at });
        let payload = block_actions(&app, &origin, None, &json!([action]));
        caller.interaction(INTERACTIONS, &payload)
    };
    stage
        .slack
        .fail("views.publish", Fault::Status(500), Some(1));
    ensure!(click("switch_off", "1.1")?.status == 200);
    stage.wait_for("select exists (select from lockstep_internal.job where failures = 1)")?;
    let before = stage.slack.calls_of("views.publish").len();
    ensure!(click("switch_on", "2.1")?.status == 200);
    ensure!(
        stage
            .slack
            .wait_for_calls("views.publish", before + 1, PATIENCE)
    );
    stage.wait_for("select active from integrations where project_id = 1")?;
    // The queue's pause is over.
    let begun = Instant::now();
    stage.wait_for("select not exists (select from lockstep_internal.job)")?;
    let active: bool = stage
        .client
        .query_one("select active from integrations where project_id = 1", &[])?
        .get(0);
    ensure!(
        active,
        "the last click was on, it is off after {:?}\n{}",
        begun.elapsed(),
        stage.sidecar.log()
    );
    Ok(())
}

#[test]
fn token_that_was_taken_away_stops_nobody() -> Result<()> {
    let mut stage = Stage::set("app_null")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    stage.client.batch_execute(
        "update slack_integrations set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null",
    )?;
    for arguments in [&["check", "--public-url=https://a.example"][..], &["rekey"]] {
        let output = command(arguments[0], &stage.url, &stage.slack)
            .args(&arguments[1..])
            .output()?;
        ensure!(output.status.success(), "{output:?}");
    }
    // There is no token to publish with, and that is not a failure.
    let event = stage.slack.home_opened(&team, &ada)?;
    ensure!(stage.caller.event(EVENTS, &event)?.status == 200);
    stage.wait_for("select not exists (select from lockstep_internal.job)")?;
    assert_eq!(stage.slack.calls_of("views.publish").len(), 0);
    Ok(())
}

#[test]
fn rate_limited_refresh_pauses() -> Result<()> {
    let app = App {
        rotates_tokens: true,
        ..App::default()
    };
    let mut stage = Stage::set_with("app_t_rate", app, &["--any-workspace"])?;
    for number in 0..20 {
        let team = stage.slack.create_workspace(&format!("W{number}")).id;
        let user = stage.slack.create_user(&team, "ada").id;
        stage.slack.decide(Decision::Approve { tenant: team, user });
        ensure!(stage.install("")?.status == 200);
    }
    stage
        .slack
        .fail("oauth.v2.access", Fault::RateLimited(30), None);
    let before = stage.slack.calls_of("oauth.v2.access").len();
    stage.client.batch_execute(
        "update lockstep_internal.slack_installation set expires_at = now() + interval '1 hour'",
    )?;
    let _other = Sidecar::start(&stage.url, &stage.slack, &[])?;
    thread::sleep(Duration::from_secs(3));
    let calls = stage.slack.calls_of("oauth.v2.access").len() - before;
    ensure!(
        calls <= 2,
        "{calls} calls within 3 s of a 429 with Retry-After: 30"
    );
    Ok(())
}
