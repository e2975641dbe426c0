//! The commands of lockstep that run outside the database.

mod backfill;
mod command_line;
mod connection;
mod database;
mod error;
mod text;
mod tls;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;
use tracing_subscriber::EnvFilter;

use command_line::{Arguments, Command};
use error::Error;

fn main() -> ExitCode {
    // Ends with status 2 itself where the command line is wrong.
    let arguments = Arguments::parse();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let Command::Backfill(backfill) = arguments.command;
    let runtime = Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(Error::from)
        .and_then(|runtime| runtime.block_on(backfill::run(&backfill)));
    outcome.unwrap_or_else(|error| {
        text::tell(&error.report());
        ExitCode::from(error::STATUS)
    })
}
