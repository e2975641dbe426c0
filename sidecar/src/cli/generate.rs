//! Manual pages and shell completions, generated from the command line for packages.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate_to};

use crate::error::Error;

/// Writes manual pages and shell completions, for packages
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// The directory to write to
    directory: PathBuf,
}

pub(super) fn run(generate: &Generate, mut command: clap::Command) -> Result<ExitCode, Error> {
    let directory = &generate.directory;
    fs::create_dir_all(directory)?;
    for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
        generate_to(shell, &mut command, "lockstep-sidecar", directory)?;
    }
    clap_mangen::generate_to(command, directory)?;
    Ok(ExitCode::SUCCESS)
}
