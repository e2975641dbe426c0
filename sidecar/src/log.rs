//! What is logged, and how: to stderr, in lines for people or in objects for programs.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use crate::command_line::{Arguments, Command, LogFormat};

pub(crate) fn begin(arguments: &Arguments) {
    // A progress bar, or what is printed, and log lines would write over each other.
    let level = match &arguments.command {
        Command::Backfill(_) | Command::Check(_) | Command::Manifest(_) => LevelFilter::ERROR,
        Command::Serve(_) | Command::Work(_) | Command::Rekey(_) | Command::ImportSettings(_) => {
            LevelFilter::INFO
        }
    };
    let filter = EnvFilter::builder().with_default_directive(level.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        // Whoever reads the log may be gone; the work is not to suffer from that.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match arguments.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
