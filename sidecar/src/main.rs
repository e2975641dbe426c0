//! The commands of lockstep that run outside the database.

mod backfill;
mod command_line;
mod connection;
mod database;
mod error;
mod interrupt;
mod text;
mod tls;
mod worker;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

use command_line::{Arguments, Command};
use error::Error;

fn main() -> ExitCode {
    // Ends with status 2 itself where the command line is wrong.
    let arguments = Arguments::parse();
    // A progress bar and log lines would write over each other.
    let level = match &arguments.command {
        Command::Backfill(_) => LevelFilter::ERROR,
        Command::Work(_) => LevelFilter::INFO,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into());
    tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_ansi(std::io::stderr().is_terminal())
        // Whoever reads the log may be gone; the work is not to suffer from that.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
    // One thread: what takes time is done by the database, or waits for a peer.
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime.map_err(Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match &arguments.command {
                Command::Backfill(backfill) => backfill::run(backfill).await,
                Command::Work(work) => worker::run(work).await,
            }
        })
    });
    outcome.unwrap_or_else(|error| {
        text::tell(&error.report());
        ExitCode::from(error::STATUS)
    })
}
