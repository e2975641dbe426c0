//! Output that goes nowhere.

use std::fs::File;
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
