//! Contenders installed with npm.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, ensure};
use lockstep_tests::target;

/// The directory of that version of a package.
pub(crate) fn directory(package: &str, version: &str) -> PathBuf {
    let place = format!("{}@{version}", package.replace('/', "_"));
    target().join("bench/npm").join(place)
}

/// Installs that version of a package if it is missing; false if npm is not available.
pub(crate) fn install(package: &str, version: &str) -> Result<bool> {
    let directory = directory(package, version);
    if !directory.join("node_modules").join(package).exists() {
        fs::create_dir_all(&directory)?;
        let npm = Command::new("npm")
            .args(["install", "--no-audit", "--no-fund", "--silent"])
            .arg(format!("{package}@{version}"))
            .current_dir(&directory)
            .status();
        match npm {
            Ok(status) => ensure!(status.success(), "npm cannot install {package}@{version}"),
            Err(_) => return Ok(false),
        }
    }
    Ok(true)
}
