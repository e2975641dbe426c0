//! What is logged, and how: to stderr, in lines for people or in objects for programs.

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
        // Whoever reads the log may be gone; the work is not to suffer from that.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    match is_json {
        false => log.with_ansi(std::io::stderr().is_terminal()).init(),
        true => log.json().flatten_event(true).init(),
    }
}
