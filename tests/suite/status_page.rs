//! The status page, in a real browser: as wide as a phone, and live.

use anyhow::{Result, ensure};
use lockstep_tests::browser::{Browser, DESK, PHONE};
use lockstep_tests::gitlab::push;
use lockstep_tests::slack::Fault;
use lockstep_tests::target;
use serde_json::json;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::notification_app::Scene;
use crate::slack_app::http;

const PASSWORD: &str = "a password of viewers";

fn with_password(base: &str, path: &str) -> String {
    let host = base.trim_start_matches("http://");
    format!(
        "http://viewer:{}@{host}{path}",
        PASSWORD.replace(' ', "%20")
    )
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

    // What happens now is there without anybody's doing anything; so is drift, once it has been looked for.
    scene
        .stage
        .slack
        .fail("chat.postMessage", Fault::Error("is_archived"), Some(1));
    scene.tell(&push(1, "Pour it"), 1)?;
    scene.settle()?;
    let begun = Instant::now();
    loop {
        let dom = browser.dom()?;
        if dom.contains("is_archived")
            && dom.contains("projects.has_external_wiki")
            && dom.contains("1 row differs")
        {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{dom}");
        sleep(Duration::from_millis(100));
    }
    drop(browser);
    let browser = Browser::start(DESK)?;
    browser.open(&with_password(&base, "/status"))?;
    assert_eq!(browser.overflow()?, 0);
    browser.screenshot(&target().join("page-status-1280.png"))?;
    Ok(())
}

/// What others have named stays text; a run has its bar; and what is old is told to be.
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
    // The database goes, and comes back.
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
        // It shows what there was all the while.
        ensure!(browser.text_of("#live")?.contains(HOSTILE));
    }
    assert_eq!(title(&browser)?, title_of_page());
    Ok(())
}

fn title_of_page() -> serde_json::Value {
    json!("Status · GitLab for Slack")
}

#[test]
fn status_is_for_those_who_may_see_it() -> Result<()> {
    let scene = Scene::with("status_rights", &["--viewer-password", PASSWORD])?;
    let open = Scene::with("status_nobody", &[])?;
    for path in ["/status", "/status/part"] {
        let reply = http().get(&format!("{}{path}", scene.stage.sidecar.base), &[])?;
        ensure!(
            reply.status == 401 && !reply.text().contains("Messages"),
            "{}",
            reply.text()
        );
        // Without a password there is nobody who may.
        let reply = http().get(&format!("{}{path}", open.stage.sidecar.base), &[])?;
        ensure!(
            reply.status == 404 && !reply.text().contains("Messages"),
            "{}",
            reply.text()
        );
    }
    Ok(())
}
