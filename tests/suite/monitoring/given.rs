//! What commands are given and can never work, and output that goes nowhere.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::{App, FakeSlack};

use crate::slack_app::command;

/// Nothing is there.
const NOWHERE: &str = "host=127.0.0.1 port=1 user=nobody dbname=nowhere";

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&*output.stdout, &output.stderr].concat()).into_owned()
}

fn sidecar(name: &str) -> Result<Command> {
    let slack = FakeSlack::start(App::default())?;
    let mut command = command(name, NOWHERE, &slack);
    command.arg("--public-url=https://slack.example");
    Ok(command)
}

/// `check` against nothing, with a file for the signing secret.
fn with_secret(text: &[u8]) -> Result<String> {
    let path = std::env::temp_dir().join(format!("lockstep-given-{}", std::process::id()));
    fs::write(&path, text)?;
    let mut check = sidecar("check")?;
    check
        .env_remove("SLACK_SIGNING_SECRET")
        .env("SLACK_SIGNING_SECRET_FILE", &path);
    let output = check.output()?;
    fs::remove_file(&path)?;
    Ok(said(&output))
}

#[test]
fn a_secret_that_can_be_none_is_refused_and_not_quoted() -> Result<()> {
    let secret = "0123456789abcdef0123456789abcdef";
    for text in [format!("{secret}\n"), format!("\u{feff}{secret}\r\n")] {
        let said = with_secret(text.as_bytes())?;
        ensure!(said.contains("ok: the settings"), "{text:?} {said}");
    }
    for more in ["\nfedcba\n", "\0", "\u{7}x", "\r\n\r\nx"] {
        let said = with_secret(format!("{secret}{more}").as_bytes())?;
        ensure!(
            said.contains("a secret is one line of text") && !said.contains(secret),
            "{more:?} {said}"
        );
    }
    Ok(())
}

#[test]
fn names_where_ids_belong_are_refused() -> Result<()> {
    for (managers, is_right) in [
        ("U1,W2", true),
        (" U1 ,", true),
        ("ada", false),
        ("U1,@ada", false),
        ("T1", false),
        ("U1 U2", false),
    ] {
        let output = sidecar("check")?
            .env("LOCKSTEP_MANAGERS", managers)
            .output()?;
        let said = said(&output);
        let is_refused = said.contains("wrong: --manager (LOCKSTEP_MANAGERS) has ");
        ensure!(is_refused != is_right, "{managers:?} {said}");
    }
    for alias in ["a b", " ab", "ab\n", "a\tb", "a\u{a0}b"] {
        let mut ticket = sidecar("ticket")?;
        let output = ticket.args(["--project", "1", "--alias", alias]).output()?;
        ensure!(
            output.status.code() == Some(2) && said(&output).contains("--alias"),
            "{alias:?} {}",
            said(&output)
        );
    }
    Ok(())
}

/// Whoever keeps the output must know that it is not all there; whoever has read enough need not.
#[test]
fn output_that_is_not_written_is_an_error() -> Result<()> {
    for name in ["manifest", "check"] {
        let output = sidecar(name)?.stdout(File::create("/dev/full")?).output()?;
        ensure!(
            output.status.code().is_some_and(|code| code > 0)
                && said(&output).contains("cannot write to stdout: No space left on device"),
            "{name} {output:?}"
        );
    }
    let mut manifest = sidecar("manifest")?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    drop(manifest.stdout.take().context("no stdout")?);
    let output = manifest.wait_with_output()?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    Ok(())
}
