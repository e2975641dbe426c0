//! GitLab's address points back to the sidecar.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack};

use crate::concurrency::PATIENCE;
use crate::slack_app::{COMMANDS, Sidecar, command, sidecar_url, with_projects};

#[test]
fn own_address_is_refused_at_the_start() -> Result<()> {
    let slack = FakeSlack::start(App::default())?;
    let output = command("serve", "dbname=none", &slack)
        .args([
            "--listen=127.0.0.1:8099",
            "--public-url=https://slack.example",
            "--gitlab-url=https://slack.example",
            "--gitlab-url=http://localhost:8099",
        ])
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert_eq!(
        said.matches("leads back to this program").count(),
        2,
        "{said}"
    );
    Ok(())
}

/// Two sidecars that take each other for GitLab: the first to ask detects it, and no request loops.
#[test]
fn longer_way_back_is_found_out() -> Result<()> {
    const DATABASE: &str = "pass_circle";
    let _client = with_projects(DATABASE)?;
    let url = sidecar_url(DATABASE)?;
    let slack = FakeSlack::start(App::default())?;
    let ports = [
        TcpListener::bind("127.0.0.1:0")?,
        TcpListener::bind("127.0.0.1:0")?,
    ];
    let ports = ports.map(|listener| listener.local_addr().map(|it| it.port()));
    let [one, other] = ports;
    let (one, other) = (one?, other?);
    let to = |port: u16| format!("--gitlab-url=http://127.0.0.1:{port}");
    let mut first = Sidecar::start_on(one, &url, &slack, &[&to(other)])?;
    // The other one is not running yet.
    first.wait_for_log("GitLab does not take what is passed on to it")?;
    let mut second = Sidecar::start_on(other, &url, &slack, &[&to(one)])?;
    second.wait_for_log("its address leads back to this program")?;
    let caller = Caller::new(&first.base, slack.app()).with_patience(PATIENCE);
    let origin = Origin {
        team_id: Some("T1".to_owned()),
        user_id: "U1".to_owned(),
        ..Origin::default()
    };
    let reply = caller.command(COMMANDS, &origin, "/gitlab", "tea issue show 1")?;
    let said = reply.json()?;
    let said = said["text"].as_str().context("no text")?;
    ensure!(
        said.contains("leads back") && said.contains("--gitlab-url"),
        "{said}"
    );
    let counted = ["lockstep_gitlab_passed_on_total", "outcome=\"circle\""];
    assert_eq!(first.metric(&counted)?, 1.0);
    assert_eq!(
        second.metric(&["lockstep_gitlab_passed_on_total", "outcome"])?,
        0.0
    );
    Ok(())
}
