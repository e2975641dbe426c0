//! Python with Slack's own library, as a second opinion on signatures and blocks.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::Value;

use crate::account::command;

/// A virtual environment under target/ with the packages of tests/slack/requirements.txt.
#[derive(Debug)]
pub struct VirtualEnvironment {
    python: PathBuf,
}

impl VirtualEnvironment {
    /// The environment shared by all tests; created on first use, and again when the requirements change.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<VirtualEnvironment>> = OnceLock::new();
        SHARED
            .get_or_init(Self::prepare)
            .as_ref()
            .map_err(|error| anyhow!("{error:#}"))
    }

    fn prepare() -> Result<Self> {
        let tools = crate::target().join("tools");
        fs::create_dir_all(&tools)?;
        // Two runs of the suite must not create it at the same time.
        let lock = File::create(tools.join("python.lock"))?;
        lock.lock()?;
        let directory = tools.join("python");
        let environment = Self {
            python: directory.join("bin/python"),
        };
        let wanted = scripts().join("requirements.txt");
        let requirements = fs::read_to_string(&wanted)
            .with_context(|| format!("cannot read {}", wanted.display()))?;
        // Written last: an environment without it was interrupted while being created.
        let done = directory.join("requirements.txt");
        let is_done = fs::read_to_string(&done).is_ok_and(|made| made == requirements);
        if is_done && environment.works() {
            return Ok(environment);
        }
        run(command("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&directory))
        .context("cannot make a virtual environment: .ci/setup tests installs what is missing")?;
        run(command(&environment.python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args([
                "--require-hashes",
                "--only-binary",
                ":all:",
                "--requirement",
            ])
            .arg(&wanted))
        .context("cannot install Slack's library from PyPI")?;
        fs::write(done, requirements)?;
        Ok(environment)
    }

    /// The interpreter it was created from may be gone.
    fn works(&self) -> bool {
        let probe = command(&self.python)
            .args(["-c", "import slack_sdk"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        probe.is_ok_and(|status| status.success())
    }

    /// Runs a script of tests/slack with one line of JSON per input; returns the line it printed for each.
    pub fn run(&self, script: &str, inputs: &[Value]) -> Result<Vec<String>> {
        let mut child = command(&self.python)
            // Leaves nothing next to the scripts.
            .arg("-B")
            .arg(scripts().join(script))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {script}"))?;
        let stdin = child.stdin.take().context("no input")?;
        let lines: String = inputs.iter().map(|input| format!("{input}\n")).collect();
        // While we are still writing, the script may fill its output pipe.
        let writer = thread::spawn(move || { stdin }.write_all(lines.as_bytes()));
        let output = child.wait_with_output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{script}: {}", errors.trim());
        writer
            .join()
            .map_err(|_| anyhow!("{script}: its writer panicked"))??;
        let answers: Vec<_> = String::from_utf8(output.stdout)?
            .lines()
            .map(str::to_owned)
            .collect();
        ensure!(
            answers.len() == inputs.len(),
            "{script}: {} answers to {} inputs",
            answers.len(),
            inputs.len()
        );
        Ok(answers)
    }
}

fn scripts() -> PathBuf {
    crate::root().join("tests/slack")
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}",
        output.status,
        errors.trim()
    );
    Ok(())
}
