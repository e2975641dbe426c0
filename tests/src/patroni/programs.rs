//! Patroni and etcd, as Debian or somebody else has installed them.

use std::fs;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::account::command;

#[derive(Clone, Debug)]
pub(super) struct Programs {
    /// A Python script.
    pub(super) patroni: PathBuf,
    /// What runs it.
    pub(super) python: PathBuf,
    pub(super) etcd: PathBuf,
}

impl Programs {
    /// None if one is missing or nobody has asked for three servers: a test is then skipped, which this says even where the output of
    /// tests is captured.
    pub(super) fn find() -> Result<Option<Self>> {
        if std::env::var_os("LOCKSTEP_PATRONI").is_none() {
            writeln!(
                stderr(),
                "skipped: failovers under Patroni take some minutes; make test-patroni runs them"
            )?;
            return Ok(None);
        }
        let (Some(patroni), Some(etcd)) = (in_path("patroni"), in_path("etcd")) else {
            writeln!(
                stderr(),
                "skipped: Patroni or etcd is not installed here; make test-patroni installs both"
            )?;
            return Ok(None);
        };
        let script = fs::read_to_string(&patroni)?;
        let first = script.lines().next().unwrap_or_default();
        let python = first.strip_prefix("#!").context("patroni is no script")?;
        let python = fs::canonicalize(python.trim())?;
        Ok(Some(Self {
            patroni,
            python,
            etcd,
        }))
    }

    pub(super) fn versions(&self) -> Result<String> {
        let patroni = answer(&self.patroni)?;
        let etcd = answer(&self.etcd)?;
        Ok(format!("{patroni}, {etcd}"))
    }
}

fn answer(program: &Path) -> Result<String> {
    let output = command(program).arg("--version").output()?;
    ensure!(
        output.status.success(),
        "{} --version failed",
        program.display()
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn in_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into()])
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}
