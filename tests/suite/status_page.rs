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
