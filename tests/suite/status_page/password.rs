//! Who may see the page.

use crate::notification::app::Scene;
use crate::slack_app::http;
use crate::status_page::{PASSWORD, get, get_with};
use anyhow::{Result, ensure};
use lockstep_tests::http::Reply;

/// Like a proxy, on behalf of a client.
fn get_for(scene: &Scene, path: &str, password: &str, from: &str) -> Result<Reply> {
    get_with(scene, path, password, &[("x-forwarded-for", from)])
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
        // Without a configured password nobody may.
        let reply = http().get(&format!("{}{path}", open.stage.sidecar.base), &[])?;
        ensure!(
            reply.status == 404 && !reply.text().contains("Messages"),
            "{}",
            reply.text()
        );
    }
    Ok(())
}

/// Guessing is slowed down, including the next attempt.
#[test]
fn passwords_are_not_guessed() -> Result<()> {
    let scene = Scene::with("status_guesses", &["--viewer-password", PASSWORD])?;
    assert_eq!(get(&scene, "/status", PASSWORD)?.status, 200);
    let wrong = |number: usize| {
        get(
            &scene,
            "/status/part",
            &format!("a wrong password {number}"),
        )
    };
    for number in 0..10 {
        assert_eq!(wrong(number)?.status, 401, "{number}");
    }
    let refused = wrong(10)?;
    ensure!(refused.status == 429, "{}", refused.text());
    for path in ["/status", "/status/part", "/sign-in"] {
        assert_eq!(get(&scene, path, PASSWORD)?.status, 429, "{path}");
        // A header that anybody can send does not help.
        let elsewhere = get_for(&scene, path, PASSWORD, "192.0.2.1")?;
        assert_eq!(elsewhere.status, 429, "{path}");
    }
    // The first page is public.
    let first = get(&scene, "/", PASSWORD)?;
    ensure!(
        first.status == 200 && !first.text().contains("Workspaces"),
        "{}",
        first.text()
    );
    Ok(())
}

/// Behind a proxy, clients at other addresses are not slowed down.
#[test]
fn viewers_behind_a_proxy_are_told_apart() -> Result<()> {
    let scene = Scene::with(
        "status_proxy",
        &["--viewer-password", PASSWORD, "--forwarded-for"],
    )?;
    for number in 0..10 {
        let claimed = format!("192.0.2.{number}, 198.51.100.1");
        let wrong = get_for(&scene, "/status/part", "a wrong password", &claimed)?;
        assert_eq!(wrong.status, 401, "{number}");
    }
    let of = |from: &str| get_for(&scene, "/status/part", PASSWORD, from);
    assert_eq!(of("198.51.100.1")?.status, 429);
    assert_eq!(of("198.51.100.1, 198.51.100.2")?.status, 200);
    assert_eq!(get(&scene, "/status/part", PASSWORD)?.status, 200);
    Ok(())
}
