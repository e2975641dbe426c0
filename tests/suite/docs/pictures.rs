//! The pictures in the documentation: pages of the Slack app in a real browser. `make reference` writes them.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::browser::{Browser, Screen};
use lockstep_tests::slack::App;
use lockstep_tests::{root, target};

use super::is_writing;
use crate::slack_app::Stage;

/// The page that shows the pictures.
const GUIDE: &str = "docs/guides/slack-app.md";

/// Small enough for a repository and a slow connection, in bytes.
const LARGEST: usize = 60_000;

const SCREEN: Screen = Screen {
    width: 640,
    height: 420,
    is_phone: false,
};

const PASSWORD: &str = "password-of-viewers";

#[test]
fn pages_of_the_app() -> Result<()> {
    let mut stage = Stage::set_with(
        "docs_pictures",
        App::default(),
        &["--viewer-password", PASSWORD],
    )?;
    let team = stage.slack.create_workspace("Bakery");
    stage.slack.create_user(&team.id, "ada");
    let base = stage.sidecar.base.clone();
    let browser = Browser::start(SCREEN)?;
    browser.open(&format!("{base}/"))?;
    check_picture(&browser, "first-page")?;

    let link = format!("{base}/slack/install?ticket={}", stage.ticket(1)?);
    browser.open(&link)?;
    check_picture(&browser, "confirm")?;
    browser.click("a.button")?;
    browser.wait_for_url(|url| url.contains("/slack/install/callback"))?;
    check_picture(&browser, "installed")?;
    // A ticket can be used once.
    browser.open(&link)?;
    check_picture(&browser, "used-link")?;

    let viewer = base.replacen("http://", &format!("http://viewer:{PASSWORD}@"), 1);
    browser.open(&format!("{viewer}/status"))?;
    check_picture(&browser, "status")
}

/// The guide shows the page under its heading, in a picture of the right size. Two browsers seldom draw the same pixels, so these
/// are not compared.
fn check_picture(browser: &Browser, name: &str) -> Result<()> {
    let path = root().join(format!("docs/images/{name}.png"));
    let drawn = target().join(format!("docs-{name}.png"));
    browser.screenshot(&drawn)?;
    let drawn = fs::read(drawn)?;
    if is_writing() && fs::read(&path).ok().as_ref() != Some(&drawn) {
        fs::create_dir_all(root().join("docs/images"))?;
        fs::write(&path, &drawn)?;
    }
    let picture = fs::read(&path)
        .with_context(|| format!("{} is missing: run make reference", path.display()))?;
    ensure!(
        size_of(&picture) == size_of(&drawn) && size_of(&drawn).is_some(),
        "docs/images/{name}.png has another size than the page: run make reference"
    );
    ensure!(
        picture.len() <= LARGEST,
        "docs/images/{name}.png has {} bytes",
        picture.len()
    );
    let shown = format!("![{}](../images/{name}.png)", browser.text_of("h1")?);
    ensure!(
        fs::read_to_string(root().join(GUIDE))?.contains(&shown),
        "{GUIDE} does not show {shown}"
    );
    Ok(())
}

/// Width and height of a PNG.
fn size_of(png: &[u8]) -> Option<(&[u8], &[u8])> {
    png.starts_with(b"\x89PNG\r\n\x1a\n")
        .then(|| Some((png.get(16..20)?, png.get(20..24)?)))?
}
