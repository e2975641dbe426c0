//! A spool whose disk takes nothing.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::gitlab::{Webhook, push};
use nix::sys::signal::Signal;
use serde_json::json;

use super::spool::{Directory, assert_spooled, come_back, go_away, scene, wait_until_replayed};
use crate::concurrency::PATIENCE;
use crate::notification::app::{Scene, TOKEN};
use crate::slack_app::{Sidecar, command};

/// Starts the sidecar of a scene again, such that it outlives writes beyond the limit of a file's size.
fn limitable(scene: &mut Scene, directory: &Directory) -> Result<()> {
    scene.stage.sidecar.signal(Signal::SIGKILL)?;
    scene.stage.sidecar.wait_until_dead()?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let base = format!("http://127.0.0.1:{port}");
    let serve = command("serve", &scene.stage.url, &scene.stage.slack);
    let mut limitable = Command::new("sh");
    limitable
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(serve.get_program())
        .args(serve.get_args())
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--public-url={base}"))
        .arg(format!("--gitlab-token={TOKEN}"))
        .arg(directory.argument());
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => limitable.env(name, value),
            None => limitable.env_remove(name),
        };
    }
    scene.stage.sidecar = Sidecar::of(limitable, base.clone())?;
    scene.webhook = Webhook::new(&base, PATIENCE).with_token(TOKEN);
    Ok(())
}

/// No file may be written beyond so many bytes.
fn limit(sidecar: &Sidecar, bytes: &str) -> Result<()> {
    let mut limit = Command::new("prlimit");
    limit.args([
        format!("--pid={}", sidecar.id()),
        format!("--fsize={bytes}:unlimited"),
    ]);
    ensure!(limit.status()?.success(), "no limit");
    Ok(())
}

fn wait_for_hooks(sidecar: &Sidecar, status: u16) -> Result<String> {
    let begun = Instant::now();
    loop {
        let reply = sidecar.get("/readyz/hooks")?;
        if reply.status == status {
            return Ok(reply.text());
        }
        ensure!(begun.elapsed() < PATIENCE, "{}", reply.text());
        thread::sleep(Duration::from_millis(20));
    }
}

/// It is not ready while it can keep nothing, says so, and is when it can again; the database is asked all the same.
#[test]
fn a_spool_that_cannot_be_written_is_not_ready() -> Result<()> {
    const DATABASE: &str = "spool_disk";
    let directory = Directory::new(DATABASE)?;
    let (mut scene, _) = scene(DATABASE, &directory, &[])?;
    limitable(&mut scene, &directory)?;
    go_away(DATABASE)?;
    assert_spooled(&scene.webhook.send_as("kept", &push(1, "kept"))?)?;
    limit(&scene.stage.sidecar, "0")?;
    let reply = scene.webhook.send_as("lost", &push(1, "lost"))?;
    ensure!(reply.status == 503, "{}", reply.text());
    let told = wait_for_hooks(&scene.stage.sidecar, 503)?;
    ensure!(told.contains("\"failing\":true"), "{told}");
    // No webhook comes, and it is found out.
    limit(&scene.stage.sidecar, "unlimited")?;
    let told = wait_for_hooks(&scene.stage.sidecar, 200)?;
    ensure!(told.contains("\"failing\":false"), "{told}");
    assert_spooled(&scene.webhook.send_as("again", &push(1, "again"))?)?;
    come_back(DATABASE)?;
    wait_until_replayed(&scene.stage.sidecar)?;

    // Nothing is left to replay: whether the database is back is found out all the same.
    limit(&scene.stage.sidecar, "0")?;
    go_away(DATABASE)?;
    for key in ["slow", "quick"] {
        let reply = scene.webhook.send_as(key, &push(1, key))?;
        ensure!(reply.status == 503, "{}", reply.text());
        scene.stage.sidecar.wait_for_log("the database is away")?;
    }
    come_back(DATABASE)?;
    wait_for_hooks(&scene.stage.sidecar, 200)?;
    let begun = Instant::now();
    loop {
        let reply = scene.webhook.send_as("published", &push(1, "published"))?;
        if reply.status == 200 {
            ensure!(
                reply.json()? != json!({ "spooled": true }),
                "{}",
                reply.text()
            );
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "{}", reply.text());
    }
    Ok(())
}
