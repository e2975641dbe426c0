//! The status page in a real browser: as wide as a phone, and live.

mod password;
mod plot;
mod same;

use anyhow::{Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockstep_tests::browser::{Browser, DESK, PHONE};
use lockstep_tests::gitlab::push;
use lockstep_tests::http::Reply;
use lockstep_tests::slack::Fault;
use lockstep_tests::target;
use postgres::NoTls;
use serde_json::{Value, json};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification::app::Scene;
use crate::slack_app::http;

const PASSWORD: &str = "a password of viewers";

fn with_password(base: &str, path: &str) -> String {
    let host = base.trim_start_matches("http://");
    format!(
        "http://viewer:{}@{host}{path}",
        PASSWORD.replace(' ', "%20")
    )
}

/// The response to someone with this password.
fn get(scene: &Scene, path: &str, password: &str) -> Result<Reply> {
    get_with(scene, path, password, &[])
}

fn get_with(scene: &Scene, path: &str, password: &str, headers: &[(&str, &str)]) -> Result<Reply> {
    let pair = format!("Basic {}", STANDARD.encode(format!("viewer:{password}")));
    let url = format!("{}{path}", scene.stage.sidecar.base);
    http().get(&url, &[headers, &[("authorization", &pair)]].concat())
}

/// Waits until the page shows what is wanted.
fn wait_for(browser: &Browser, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let begun = Instant::now();
    loop {
        let dom = browser.dom()?;
        if wanted(&dom) {
            return Ok(());
        }
        ensure!(begun.elapsed() < PATIENCE, "{dom}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn status_is_live_on_a_phone() -> Result<()> {
    let mut scene = Scene::with("status_page", &["--viewer-password", PASSWORD])?;
    scene.channel("general");
    scene.set("project_id", 1, &json!({ "channels": ["#general"] }))?;
    scene.stage.client.batch_execute(
        "do $$begin
           perform lockstep.set_feature('integration_slack_app_notifications', true);
           perform lockstep.enqueue_job('Nobody::TakesThis');
         end$$;
         update projects set has_external_wiki = true where id = 2",
    )?;
    scene.tell(&push(1, "Boil the water"), 1)?;
    scene.settle()?;
    let base = scene.stage.sidecar.base.clone();
    let browser = Browser::start(PHONE)?;
    browser.open(&with_password(&base, "/status"))?;
    assert_eq!(browser.text_of("h1")?, "Status");
    assert_eq!(browser.overflow()?, 0);
    let dom = browser.dom()?;
    for words in [
        "sent in an hour",
        "integration_slack_app_notifications",
        "Nobody::TakesThis",
    ] {
        ensure!(dom.contains(words), "{words}: {dom}");
    }
    browser.screenshot(&target().join("page-status-390.png"))?;

    // Changes appear without any action; so does drift, once it has been checked.
    scene
        .stage
        .slack
        .fail("chat.postMessage", Fault::Error("is_archived"), Some(1));
    scene.tell(&push(1, "Pour it"), 1)?;
    scene.settle()?;
    wait_for(&browser, |dom| {
        dom.contains("is_archived")
            && dom.contains("projects.has_external_wiki")
            && dom.contains("1 row differs")
    })?;
    drop(browser);
    let browser = Browser::start(DESK)?;
    browser.open(&with_password(&base, "/status"))?;
    assert_eq!(browser.overflow()?, 0);
    browser.screenshot(&target().join("page-status-1280.png"))?;
    Ok(())
}

/// Names stay text; a run has its bar; and outdated parts are marked as such.
#[test]
fn status_tells_what_is_true_now() -> Result<()> {
    const DATABASE: &str = "status_now";
    const HOSTILE: &str = "</strong><script>document.title = 'taken'</script><img src=x onerror=document.title='taken'>";
    let mut scene = Scene::with(DATABASE, &["--viewer-password", PASSWORD])?;
    scene
        .stage
        .client
        .execute("select lockstep.enqueue_job($1)", &[&HOSTILE])?;
    scene
        .stage
        .client
        .batch_execute("call lockstep.backfill('cache_columns')")?;
    let base = scene.stage.sidecar.base.clone();
    let browser = Browser::start(DESK)?;
    browser.open(&with_password(&base, "/status"))?;
    let title = |browser: &Browser| browser.run("return document.title", &json!([]));
    assert_eq!(title(&browser)?, title_of_page());
    let text = browser.text_of("#live")?;
    ensure!(text.contains(HOSTILE), "{text}");
    let bar = browser.run(
        "const bar = document.querySelector('progress'); return [bar.value, bar.max]",
        &json!([]),
    )?;
    assert_eq!(bar, json!([100, 100]));
    let hidden = |browser: &Browser| -> Result<bool> {
        let hidden = browser.run("return document.getElementById('stale').hidden", &json!([]))?;
        Ok(hidden == json!(true))
    };
    assert!(hidden(&browser)?);
    // The database goes away, and returns.
    let mut elsewhere = cluster()?.connect("postgres")?;
    for (is_there, change) in [(false, "false"), (true, "true")] {
        elsewhere.batch_execute(&format!(
            "alter database {DATABASE} allow_connections {change};
             select pg_terminate_backend(pid) from pg_stat_activity
              where datname = '{DATABASE}' and application_name like 'lockstep-sidecar%'"
        ))?;
        let begun = Instant::now();
        while hidden(&browser)? != is_there {
            ensure!(begun.elapsed() < PATIENCE, "{is_there}: {}", browser.dom()?);
            sleep(Duration::from_millis(100));
        }
        // It kept showing the last state.
        ensure!(browser.text_of("#live")?.contains(HOSTILE));
    }
    assert_eq!(title(&browser)?, title_of_page());
    Ok(())
}

fn title_of_page() -> serde_json::Value {
    json!("Status · GitLab for Slack")
}

/// Names come from others: channels, jobs, flags and tables.
#[test]
fn names_are_text_on_the_page() -> Result<()> {
    let mut scene = Scene::with("status_escaped", &["--viewer-password", PASSWORD])?;
    let name = |of: &str| {
        format!("<img src=x onerror=document.title=\\'{of}\\'><b>{of}</b>").replace("\\'", "&quot;")
    };
    let (worker, flag, channel, error, drift) = (
        name("worker"),
        name("flag"),
        name("channel"),
        name("error"),
        name("drift"),
    );
    scene.stage.client.batch_execute(&format!(
        "do $$begin
           perform lockstep.enqueue_job('{worker}');
           insert into features (key, created_at, updated_at) values ('{flag}', now(), now());
           perform lockstep.set_feature('{flag}', true);
         end$$;
         insert into lockstep_internal.event (schema, key) values ('public', 'k');
         insert into lockstep_internal.slack_channel (schema, team_id, channel, not_before) values ('public', '{channel}', '{channel}', 'infinity');
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, error)
           select 'public', e.id, 1, 1, c.id, c.id, '{error}' from lockstep_internal.event e, lockstep_internal.slack_channel c;
         insert into lockstep_internal.slack_delivery (schema, event, integration_id, slack_integration_id, channel, lane, error, status, done_at)
           select 'public', e.id, 1, 1, c.id, c.id, '{error}', 'failed', now() from lockstep_internal.event e, lockstep_internal.slack_channel c;
         insert into lockstep_internal.drift_check (schema, what, rows, is_more, checked_at) values ('public', '{drift}', 1, false, now());
         -- It would be forgotten, as there is no such column.
         alter function lockstep.drift_report rename to former_drift_report"
    ))?;
    scene
        .stage
        .client
        .batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    let browser = Browser::start(DESK)?;
    browser.open(&with_password(&scene.stage.sidecar.base, "/status"))?;
    wait_for(&browser, |dom| dom.contains("1 row differs"))?;
    let shown = browser.run(
        "return [document.body.innerText, document.querySelectorAll('main img, main b, main script:not([src])').length,
                 Array.from(document.querySelectorAll('#live progress'), it => [it.value, it.max, it.getBoundingClientRect().width > 50])]",
        &json!([]),
    )?;
    let text = shown[0].as_str().unwrap_or_default();
    for name in [&worker, &flag, &channel, &error, &drift] {
        ensure!(text.contains(name.as_str()), "{name}: {text}");
    }
    assert_eq!(shown[1], json!(0), "{}", browser.dom()?);
    // The bar of a finished backfill.
    assert_eq!(shown[2], json!([[100, 100, true]]), "{}", browser.dom()?);
    for path in ["/status", "/status/part"] {
        let reply = get(&scene, path, PASSWORD)?;
        let policy = reply.header("content-security-policy");
        let policy = policy.unwrap_or_default();
        ensure!(reply.status == 200, "{}", reply.text());
        ensure!(
            policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
            "{path}: {policy}"
        );
    }
    Ok(())
}

/// The last state stays visible and is marked as outdated until there is a response again.
#[test]
fn status_that_is_old_says_so() -> Result<()> {
    let mut scene = Scene::with("status_old", &["--viewer-password", PASSWORD])?;
    let browser = Browser::start(PHONE)?;
    browser.open(&with_password(&scene.stage.sidecar.base, "/status"))?;
    let state = |browser: &Browser| -> Result<Value> {
        browser.run(
            "const stale = document.getElementById('stale'); const live = document.getElementById('live');
             return [live.classList.contains('stale'), stale.hidden, stale.hidden ? '' : stale.innerText, live.innerText.includes('Messages')]",
            &json!([]),
        )
    };
    let wait = |wanted: &dyn Fn(&Value) -> bool| -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = state(&browser)?;
            if wanted(&now) {
                return Ok(());
            }
            ensure!(begun.elapsed() < PATIENCE, "{now}");
            sleep(Duration::from_millis(100));
        }
    };
    let is_fresh = |now: &Value| *now == json!([false, true, "", true]);
    let is_old = |now: &Value, says: &str| {
        let text = now[2].as_str().unwrap_or_default();
        now[0] == true && now[1] == false && now[3] == true && text.contains(says)
    };
    assert_eq!(state(&browser)?, json!([false, true, "", true]));
    // The database is there but does not answer: a 503 of our own.
    let rename =
        |from: &str, to: &str| format!("alter function lockstep.{from}(text) rename to {to}");
    scene
        .stage
        .client
        .batch_execute(&rename("status_report", "no_report"))?;
    wait(&|now| is_old(now, "No response at the moment"))?;
    assert_eq!(get(&scene, "/status/part", PASSWORD)?.status, 503);
    scene
        .stage
        .client
        .batch_execute(&rename("no_report", "status_report"))?;
    wait(&is_fresh)?;
    // A proxy's response, and the response after access is revoked.
    for (status, says) in [
        (502, "No response at the moment"),
        (401, "password"),
        (403, "password"),
    ] {
        browser.run(
            "window.asked ??= window.fetch;
             window.fetch = async () => new Response('<h1>Who are you?</h1>', { status: arguments_[0] });"
                .replace("arguments_[0]", &status.to_string())
                .as_str(),
            &json!([]),
        )?;
        wait(&|now| is_old(now, says))?;
        ensure!(!browser.dom()?.contains("Who are you"), "{status}");
        browser.run("window.fetch = window.asked", &json!([]))?;
        wait(&is_fresh)?;
    }
    Ok(())
}

/// A drift check without a result says so, and a slow one blocks nobody.
#[test]
fn drift_that_cannot_be_looked_for_is_no_riddle() -> Result<()> {
    let arguments = ["--viewer-password", PASSWORD, "--job-concurrency", "1"];
    let mut scene = Scene::with("status_drift", &arguments)?;
    scene.stage.client.batch_execute(
        "alter function lockstep.drift_report(text) rename to former_drift_report;
         create table waits (); create table is_waited_for ();
         create function lockstep.drift_report(schema text) returns jsonb language plpgsql as $$begin
           perform from public.is_waited_for;
           return '{}';
         end$$;",
    )?;
    let mut holder = cluster()?.config("status_drift").connect(NoTls)?;
    let mut held = holder.transaction()?;
    held.batch_execute("lock table is_waited_for")?;
    // Jobs have one session, and it is not the one that waits.
    let first = get(&scene, "/status/part", PASSWORD)?;
    ensure!(
        first.text().contains("The check is running"),
        "{}",
        first.text()
    );
    scene.stage.wait_for(
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%drift_report%')",
    )?;
    assert_eq!(get(&scene, "/status", PASSWORD)?.status, 200);
    // It would be dead if it got no session.
    let job = format!(
        "select lockstep.enqueue_job('Slack::AppHomeWorker', '{{\"team_id\": \"{}\", \"user_id\": \"{}\"}}');
         update lockstep_internal.job set retries = 0",
        scene.team, scene.ada
    );
    scene.stage.client.batch_execute(&job)?;
    scene
        .stage
        .wait_for("select not exists (select from lockstep_internal.job)")?;
    scene.stage.client.batch_execute(
        "select pg_cancel_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and query like '%drift_report%'",
    )?;
    let begun = Instant::now();
    loop {
        let part = get(&scene, "/status/part", PASSWORD)?.text();
        if part.contains("The check failed") {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{part}");
        sleep(Duration::from_millis(100));
    }
    held.rollback()?;
    Ok(())
}
