//! The pages in a real browser, with the width of a phone and of a desktop.

use anyhow::{Result, ensure};
use lockstep_tests::browser::{Browser, DESK, PHONE};
use lockstep_tests::slack::{App, FakeSlack};
use lockstep_tests::target;
use serde_json::json;

use crate::slack_app::{Stage, http};

const PASSWORD: &str = "a password of viewers";

fn stage(name: &str) -> Result<Stage> {
    Stage::set_with(
        name,
        App::default(),
        &["--viewer-password", PASSWORD, "--any-workspace"],
    )
}

fn workspace(slack: &FakeSlack) {
    let team = slack.create_workspace("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft & <Söhne>");
    slack.create_user(&team.id, "ada");
}

/// With the password in the address, which a browser sends as a header.
fn with_password(base: &str, path: &str) -> String {
    let host = base.trim_start_matches("http://");
    format!(
        "http://viewer:{}@{host}{path}",
        PASSWORD.replace(' ', "%20")
    )
}

#[test]
fn pages_are_readable_on_a_phone() -> Result<()> {
    let mut stage = stage("app_page_phone")?;
    workspace(&stage.slack);
    let mut browser = Browser::start(PHONE)?;
    browser.open(&format!("{}/", stage.sidecar.base))?;
    assert_eq!(browser.text_of("h1")?, "GitLab for Slack");
    ensure!(
        !browser.dom()?.contains("Donaudampf"),
        "workspaces are shown to anybody"
    );
    // The style is loaded, and the text is large enough.
    let style = "const look = selector => getComputedStyle(document.querySelector(selector)); \
                 return [parseFloat(look('body').fontSize), look('a.button').display, document.querySelector('a.button').getBoundingClientRect().height]";
    let look = browser.run(style, &json!([]))?;
    ensure!(
        look[0].as_f64() >= Some(16.0)
            && look[1] == "inline-block"
            && look[2].as_f64() >= Some(44.0),
        "{look}"
    );

    // The whole flow: to Slack, which approves, and back.
    browser.click("a.button")?;
    browser.wait_for_url(|url| url.contains("/slack/install/callback"))?;
    ensure!(
        browser
            .text_of("h1")?
            .starts_with("GitLab is in Donaudampf"),
        "{}",
        browser.dom()?
    );
    ensure!(browser.dom()?.contains("&lt;Söhne&gt;"));
    // For a project the page first says which one.
    let ticket = stage.ticket(1)?;
    browser.open(&format!(
        "{}/slack/install?ticket={ticket}",
        stage.sidecar.base
    ))?;
    assert_eq!(browser.text_of("h1")?, "Connect group/one with Slack");
    assert_eq!(browser.overflow()?, 0);
    browser.screenshot(&target().join("page-confirm-390.png"))?;
    browser.click("a.button")?;
    browser.wait_for_url(|url| url.contains("/slack/install/callback"))?;
    ensure!(
        browser.dom()?.contains("/gitlab group/one status"),
        "{}",
        browser.dom()?
    );
    let pages = [
        with_password(&stage.sidecar.base, "/sign-in"),
        format!("{}/", stage.sidecar.base),
        format!("{}/slack/install/callback", stage.sidecar.base),
        format!("{}/slack/install?ticket=none", stage.sidecar.base),
    ];
    for (number, page) in pages.iter().enumerate() {
        for screen in [PHONE, DESK] {
            browser.resize(screen)?;
            browser.open(page)?;
            assert_eq!(browser.overflow()?, 0, "{page}");
            let name = format!("page-{number}-{}.png", screen.width);
            browser.screenshot(&target().join(name))?;
        }
    }
    // After signing in, the first page lists them.
    browser.open(&with_password(&stage.sidecar.base, "/sign-in"))?;
    let listed = browser.text_of("ul.workspaces")?;
    for words in [
        "Donaudampf",
        "<Söhne>",
        "1 connected, active.",
        "All scopes are granted",
    ] {
        ensure!(listed.contains(words), "{words}: {listed}");
    }
    Ok(())
}

#[test]
fn workspaces_are_shown_to_those_with_the_password() -> Result<()> {
    let mut stage = stage("app_page_password")?;
    workspace(&stage.slack);
    stage.connect(1)?;
    let page = |credentials: Option<&str>| {
        let headers: Vec<(&str, &str)> = credentials
            .map(|value| ("authorization", value))
            .into_iter()
            .collect();
        http().get(&format!("{}/", stage.sidecar.base), &headers)
    };
    use base64::Engine;
    let basic = |pair: String| {
        format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(pair)
        )
    };
    let shown = page(Some(&basic(format!("anybody:{PASSWORD}"))))?;
    ensure!(shown.text().contains("Donaudampf"));
    for wrong in [
        None,
        Some(basic("anybody:".to_owned())),
        Some(basic(format!("anybody:{PASSWORD}x"))),
        Some(basic(format!("anybody:{}", &PASSWORD[1..]))),
        Some(basic(PASSWORD.to_owned())),
        Some(format!("Bearer {PASSWORD}")),
        Some("Basic !!".to_owned()),
    ] {
        let text = page(wrong.as_deref())?.text();
        ensure!(
            !text.contains("Donaudampf") && text.contains("Show the workspaces"),
            "{wrong:?}"
        );
    }
    let wrong = http().get(&format!("{}/sign-in", stage.sidecar.base), &[])?;
    assert_eq!(wrong.status, 401);
    Ok(())
}
