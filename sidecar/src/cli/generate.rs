//! What packages bring along of the command line: manual pages, and completions for shells.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::{Shell, generate_to};

use crate::error::Error;

/// Writes manual pages and completions for shells, as packages bring them along
#[derive(Debug, Args)]
pub(super) struct Generate {
    /// Where to write them
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
