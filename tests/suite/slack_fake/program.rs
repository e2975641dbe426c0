//! The fake Slack as a program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::Http;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::slack_fake::PATIENCE;

#[test]
fn program_says_where_it_is_and_what_it_is_asked() -> Result<()> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_fake_slack"))
        .args(["--client-id", "mine", "--workspace", "Acme"])
        .stdout(Stdio::piped())
        .spawn()?;
    let told = talk(&mut child);
    // Also if the output was unexpected: nobody else would end it.
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    ensure!(child.wait()?.success(), "it failed");
    let rest = told?;
    ensure!(rest.contains("authorize ok"), "{rest}");
    Ok(())
}

fn talk(child: &mut std::process::Child) -> Result<String> {
    let mut output = BufReader::new(child.stdout.take().context("no output")?);
    let mut base = String::new();
    output.read_line(&mut base)?;
    let query = "client_id=mine&scope=commands&redirect_uri=http://127.0.0.1/";
    let url = format!("{}/oauth/v2/authorize?{query}", base.trim());
    let reply = Http::new(PATIENCE).get(&url, &[])?;
    ensure!(reply.status == 302, "{reply:?}");
    let mut told = String::new();
    while !told.contains("authorize") {
        ensure!(output.read_line(&mut told)? > 0, "it ended: {told}");
    }
    ensure!(told.contains("Acme"), "{told}");
    Ok(told)
}
