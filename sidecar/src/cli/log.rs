//! Logging to stderr, as lines for people or objects for programs.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

pub(super) fn begin(is_quiet: bool, is_json: bool) {
    let level = match is_quiet {
        true => LevelFilter::ERROR,
        false => LevelFilter::INFO,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        // If nobody reads the log any more, the work must continue.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match is_json {
        false => log.with_ansi(std::io::stderr().is_terminal()).init(),
        true => log.json().flatten_event(true).init(),
    }
}
