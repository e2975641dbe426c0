//! Expiring tokens, changing keys, and what `check` reports about settings.

use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::slack::{App, FakeSlack, Fault};

use crate::concurrency::PATIENCE;
use crate::slack_app::{EVENTS, Sidecar, Stage, TOKEN_KEY, command, sidecar_url, with_projects};

fn rotating() -> App {
    App {
        rotates_tokens: true,
        ..App::default()
    }
}

/// Due from now on: as if it had been there for hours.
const SOON: &str =
    "update lockstep_internal.slack_installation set expires_at = now() + interval '1 hour'";

fn refreshes(slack: &FakeSlack) -> usize {
    let calls = slack.calls_of("oauth.v2.access");
    calls
        .iter()
        .filter(|call| call.arguments["grant_type"] == "refresh_token")
        .count()
}

#[test]
fn token_is_refreshed_once_by_several_sidecars() -> Result<()> {
    let mut stage = Stage::set_with("app_refresh", rotating(), &[])?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    stage.connect(2)?;
    stage.client.batch_execute(SOON)?;
    // Each looks for due tokens when it starts.
    let mut others = Vec::new();
    for _ in 0..3 {
        others.push(Sidecar::start(&stage.url, &stage.slack, &[])?);
    }
    stage.wait_for("select expires_at > now() + interval '2 hours' and refresh_error is null from lockstep_internal.slack_installation")?;
    for other in &others {
        other.wait_until_ready()?;
    }
    assert_eq!(refreshes(&stage.slack), 1);
    let query = "select count(distinct encrypted_bot_access_token) = 1 and count(*) = 2
                        and bool_and(encrypted_bot_access_token = (select encrypted_bot_access_token from lockstep_internal.slack_installation))
                   from slack_integrations";
    ensure!(stage.client.query_one(query, &[])?.get::<_, bool>(0));
    // Slack accepts the new token.
    let event = stage.slack.home_opened(&team.id, &ada.id)?;
    ensure!(stage.caller.event(EVENTS, &event)?.status == 200);
    ensure!(stage.slack.wait_for_calls("views.publish", 1, PATIENCE));
    ensure!(
        stage.slack.home(&ada.id).is_some(),
        "{:?}",
        stage.slack.calls_of("views.publish")
    );
    for log in others.iter().map(Sidecar::log).chain([stage.sidecar.log()]) {
        ensure!(!log.contains("xox"), "{log}");
    }
    Ok(())
}

#[test]
fn refused_refresh_is_recorded_and_shown() -> Result<()> {
    let mut stage = Stage::set_with(
        "app_refresh_refused",
        rotating(),
        &["--viewer-password=a password of viewers"],
    )?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    stage.client.batch_execute(SOON)?;
    stage.slack.fail(
        "oauth.v2.access",
        Fault::Error("invalid_refresh_token"),
        Some(1),
    );
    let _other = Sidecar::start(&stage.url, &stage.slack, &[])?;
    stage.wait_for(
        "select coalesce(refresh_error, '') = 'invalid_refresh_token' from lockstep_internal.slack_installation",
    )?;
    assert_eq!(refreshes(&stage.slack), 1);
    use base64::Engine;
    let pair = base64::engine::general_purpose::STANDARD.encode("x:a password of viewers");
    let page = crate::slack_app::http().get(
        &format!("{}/", stage.sidecar.base),
        &[("authorization", &format!("Basic {pair}"))],
    )?;
    ensure!(
        page.text()
            .contains("Its token cannot be refreshed: <code>invalid_refresh_token"),
        "{}",
        page.text()
    );
    Ok(())
}

fn run(
    name: &str,
    url: &str,
    slack: &FakeSlack,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<Output> {
    let mut command = command(name, url, slack);
    Ok(command
        .args(arguments)
        .envs(variables.iter().copied())
        .output()?)
}

fn text(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!(
        "{}{}",
        String::from_utf8_lossy(out),
        String::from_utf8_lossy(err)
    )
}

const NEW_KEY: &str = "another key of thirty-two bytes at least";

#[test]
fn keys_are_changed_under_way() -> Result<()> {
    let mut stage = Stage::set_with("app_rekey", rotating(), &[])?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    stage.connect(1)?;
    stage.connect(2)?;
    let rekey = |key: &str, previous: &str| {
        let variables = [
            ("LOCKSTEP_TOKEN_KEY", key),
            ("LOCKSTEP_PREVIOUS_TOKEN_KEYS", previous),
        ];
        run("rekey", &stage.url, &stage.slack, &[], &variables)
    };
    // Without the previous key nothing can be re-encrypted, and nothing is.
    let output = rekey(NEW_KEY, "")?;
    ensure!(
        output.status.code() == Some(1)
            && text(&output).contains("1 cannot be decrypted with any key"),
        "{}",
        text(&output)
    );
    let output = rekey(NEW_KEY, TOKEN_KEY)?;
    ensure!(
        output.status.success() && text(&output).starts_with("1 workspaces re-encrypted"),
        "{}",
        text(&output)
    );
    let output = rekey(NEW_KEY, TOKEN_KEY)?;
    ensure!(
        text(&output).starts_with("0 workspaces re-encrypted, 1 already had the current key"),
        "{}",
        text(&output)
    );
    let query = "select count(distinct encrypted_bot_access_token) = 1 and count(*) = 2 from slack_integrations";
    ensure!(stage.client.query_one(query, &[])?.get::<_, bool>(0));

    drop(std::mem::replace(
        &mut stage.sidecar,
        Sidecar::start(&stage.url, &stage.slack, &["--token-key", NEW_KEY])?,
    ));
    let caller = lockstep_tests::slack::Caller::new(&stage.sidecar.base, stage.slack.app());
    let event = stage.slack.home_opened(&team.id, &ada.id)?;
    stage.sidecar.wait_until_ready()?;
    ensure!(caller.event(EVENTS, &event)?.status == 200);
    ensure!(
        stage.slack.wait_for_calls("views.publish", 1, PATIENCE),
        "{}",
        stage.sidecar.log()
    );
    // The refresh token as well.
    stage.client.batch_execute(SOON)?;
    let _other = Sidecar::start(&stage.url, &stage.slack, &["--token-key", NEW_KEY])?;
    stage.wait_for(
        "select expires_at > now() + interval '2 hours' from lockstep_internal.slack_installation",
    )?;
    Ok(())
}

/// The sidecar may be started long before somebody calls attach_slack.
#[test]
fn tables_that_are_not_attached_are_logged_once_a_minute() -> Result<()> {
    let mut client = with_projects("app_not_attached")?;
    client.batch_execute("select lockstep.detach_slack()")?;
    let slack = FakeSlack::start(App::default())?;
    let begun = Instant::now();
    let mut sidecar = Sidecar::start(&sidecar_url("app_not_attached")?, &slack, &[])?;
    sidecar.wait_for_log("the token keys cannot be checked")?;
    let ready = sidecar.get("/readyz")?;
    ensure!(ready.status == 503, "{}", ready.text());
    assert_eq!(ready.json()?["token_keys"], "unknown");
    sleep(Duration::from_secs(3));
    client.batch_execute("select lockstep.attach_slack()")?;
    sidecar.wait_until_ready()?;
    let log = sidecar.log();
    let told = log.matches("the token keys cannot be checked").count() as u64;
    ensure!(told <= 1 + begun.elapsed().as_secs() / 60, "{log}");
    Ok(())
}

/// A sidecar that can decrypt no token takes nothing from those that can.
#[test]
fn wrong_keys_claim_nothing() -> Result<()> {
    let mut stage = Stage::set("app_wrong_key")?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let channel = stage.slack.create_channel(&team.id, "general");
    stage.connect(1)?;
    let Stage {
        sidecar,
        slack,
        mut client,
        url,
        ..
    } = stage;
    drop(sidecar);
    let mut wrong = Sidecar::start(&url, &slack, &["--token-key", NEW_KEY])?;
    wrong.wait_for_log("decrypt none of the tokens")?;
    let ready = wrong.get("/readyz")?;
    ensure!(ready.status == 503, "{}", ready.text());
    assert_eq!(ready.json()?["token_keys"], "decrypts no token");
    client.batch_execute(
        "select lockstep.set_slack_notifications(id, '{\"channels\": \"#general\"}') from integrations where type_new = 'Integrations::GitlabSlackApplication';
         select lockstep.test_slack_integration(id) from integrations where type_new = 'Integrations::GitlabSlackApplication'",
    )?;
    let waiting = "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
    assert_eq!(crate::service_account::number(&mut client, waiting)?, 1);
    let _right = Sidecar::start(&url, &slack, &[])?;
    ensure!(slack.wait_for_calls("chat.postMessage", 1, PATIENCE));
    assert_eq!(slack.messages(&channel.id).len(), 1);
    Ok(())
}

/// The first installation says whose keys are right, also if no message does.
#[test]
fn keys_are_checked_when_there_is_a_first_token() -> Result<()> {
    let mut stage = Stage::set("app_first_token")?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let mut wrong = Sidecar::start(&stage.url, &stage.slack, &["--token-key", NEW_KEY])?;
    // There is nothing to decrypt yet.
    wrong.wait_until_ready()?;
    stage.connect(1)?;
    wrong.wait_for_log("decrypt none of the tokens")?;
    assert_eq!(wrong.get("/readyz")?.status, 503);
    assert_eq!(stage.sidecar.get("/readyz")?.status, 200);
    Ok(())
}

fn rekey(stage: &Stage, key: &str, previous: &str) -> Result<()> {
    let variables = [
        ("LOCKSTEP_TOKEN_KEY", key),
        ("LOCKSTEP_PREVIOUS_TOKEN_KEYS", previous),
    ];
    let output = run("rekey", &stage.url, &stage.slack, &[], &variables)?;
    ensure!(output.status.success(), "{}", text(&output));
    Ok(())
}

/// A message whose token this sidecar can no longer decrypt waits for one that can.
#[test]
fn keys_that_become_wrong_lose_no_message() -> Result<()> {
    let mut stage = Stage::set("app_became_wrong")?;
    let team = stage.slack.create_workspace("Acme");
    stage.slack.create_user(&team.id, "ada");
    let channel = stage.slack.create_channel(&team.id, "general");
    stage.connect(1)?;
    // It finds a token that it decrypts.
    stage.sidecar = Sidecar::start(&stage.url, &stage.slack, &[])?;
    stage.sidecar.wait_until_ready()?;
    rekey(&stage, NEW_KEY, TOKEN_KEY)?;
    stage.client.batch_execute(
        "select lockstep.set_slack_notifications(id, '{\"channels\": \"#general\"}') from integrations where type_new = 'Integrations::GitlabSlackApplication';
         select lockstep.test_slack_integration(id) from integrations where type_new = 'Integrations::GitlabSlackApplication'",
    )?;
    stage.sidecar.wait_for_log("decrypt none of the tokens")?;
    let ready = stage.sidecar.get("/readyz")?;
    ensure!(
        ready.status == 503 && ready.json()?["token_keys"] == "decrypts no token",
        "{}",
        ready.text()
    );
    stage.wait_for("select status = 'waiting' and coalesce(error, '') = 'token_unreadable' and failures < 5 from lockstep_internal.slack_delivery")?;
    // As soon as its keys fit again, it claims again.
    rekey(&stage, TOKEN_KEY, NEW_KEY)?;
    ensure!(
        stage.slack.wait_for_calls("chat.postMessage", 1, PATIENCE),
        "{}",
        stage.sidecar.log()
    );
    assert_eq!(stage.slack.messages(&channel.id).len(), 1);
    stage.sidecar.wait_until_ready()
}

fn check(
    slack: &FakeSlack,
    url: &str,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> Result<(Option<i32>, String)> {
    let mut all = vec!["--public-url=https://slack.example"];
    all.extend(arguments);
    let output = run("check", url, slack, &all, variables)?;
    Ok((output.status.code(), text(&output)))
}

#[test]
fn check_tells_what_is_wrong() -> Result<()> {
    let mut client = with_projects("app_check")?;
    let slack = FakeSlack::start(App::default())?;
    let url = sidecar_url("app_check")?;
    let (status, text) = check(&slack, &url, &[], &[])?;
    ensure!(status == Some(0) && !text.contains("wrong"), "{text}");

    let (status, text) = check(
        &slack,
        &url,
        &["--offline"],
        &[
            ("SLACK_SIGNING_SECRET", " "),
            ("SLACK_CLIENT_ID", ""),
            ("LOCKSTEP_TOKEN_KEY", "short"),
            ("LOCKSTEP_VIEWER_PASSWORD", "tiny-one"),
            ("LOCKSTEP_SLACK_URL", "http://slack.com"),
        ],
    )?;
    assert_eq!(status, Some(1));
    for words in [
        "SLACK_SIGNING_SECRET",
        "SLACK_CLIENT_ID",
        "LOCKSTEP_TOKEN_KEY",
        "LOCKSTEP_VIEWER_PASSWORD",
        "LOCKSTEP_SLACK_URL",
    ] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    ensure!(
        !text.contains("tiny-one") && !text.contains("short:"),
        "{text}"
    );

    // Each of these is found by calling it.
    let nobody = format!("{url} user=nobody");
    client.batch_execute(
        "do $$begin if to_regrole('nobody') is null then create role nobody login; end if; end$$",
    )?;
    for (address, schema, words) in [
        (&nobody, "public", "grant lockstep_sidecar"),
        (&url, "elsewhere", "there is no schema elsewhere"),
        (&url, "lockstep", "not attached"),
        (
            &"host=/nowhere dbname=none user=nobody".to_owned(),
            "public",
            "cannot connect",
        ),
    ] {
        let (status, text) = check(&slack, address, &["--schema", schema], &[])?;
        ensure!(status == Some(1) && text.contains(words), "{words}: {text}");
    }
    slack.fail("api.test", Fault::Status(503), Some(1));
    let (status, text) = check(&slack, &url, &[], &[])?;
    ensure!(status == Some(1) && text.contains("Slack at"), "{text}");
    Ok(())
}

#[test]
fn serve_refuses_to_start_without_a_signing_secret() -> Result<()> {
    let slack = FakeSlack::start(App::default())?;
    for secret in ["", "  "] {
        let output = run(
            "serve",
            "host=/nowhere",
            &slack,
            &["--public-url=https://slack.example"],
            &[("SLACK_SIGNING_SECRET", secret)],
        )?;
        assert_eq!(output.status.code(), Some(2));
        ensure!(
            text(&output).contains("SLACK_SIGNING_SECRET"),
            "{}",
            text(&output)
        );
    }
    Ok(())
}
