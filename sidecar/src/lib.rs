//! The commands of lockstep that run outside the database.

mod app;
mod backfill;
mod chatops;
mod check;
mod command_line;
mod config;
mod connection;
mod database;
mod error;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod import_settings;
mod interrupt;
mod log;
mod notification;
mod page;
mod rekey;
mod serve;
mod slack;
mod text;
mod tls;
mod worker;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use command_line::{Arguments, Command};
use error::Error;

/// What the program `lockstep-sidecar` does; the status that it exits with.
pub fn main() -> ExitCode {
    // Ends with status 2 itself where the command line is wrong.
    let arguments = Arguments::parse();
    log::begin(&arguments);
    // What takes time is done by the database, or waits for a peer, so one thread does; requests are many.
    let runtime = match arguments.command {
        Command::Serve(_) => Builder::new_multi_thread().enable_all().build(),
        _ => Builder::new_current_thread().enable_all().build(),
    };
    let outcome = runtime.map_err(Error::from).and_then(|runtime| {
        runtime.block_on(async {
            match &arguments.command {
                Command::Serve(serve) => serve::run(serve).await,
                Command::Check(check) => check::run(check).await,
                Command::Manifest(manifest) => slack::print_manifest(manifest),
                Command::Rekey(rekey) => rekey::run(rekey).await,
                Command::ImportSettings(import) => import_settings::run(import).await,
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
