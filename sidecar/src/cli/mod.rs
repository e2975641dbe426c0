//! The command line, the commands that run once and end, and which room handles each of the others.

mod check;
mod doctor;
mod drift;
mod generate;
mod import_settings;
mod log;
mod manifest;
mod rekey;
mod secret_file;
mod ticket;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use tokio::runtime::Builder;

use check::Check;
use doctor::Doctor;
use drift::Drift;
use import_settings::ImportSettings;
use manifest::Manifest;
use rekey::Rekey;
use ticket::Ticket;

use crate::backfill::Backfill;
use crate::error::{self, Error};
use crate::serve::Serve;
use crate::work::Work;
use crate::{backfill, serve, text, work};

/// Serves the Slack app of lockstep, and runs and watches its work inside a PostgreSQL database
#[derive(Debug, Parser)]
#[command(
    name = "lockstep-sidecar",
    version,
    max_term_width = 100,
    after_help = "A secret that may be in a variable NAME may be in a file as well: NAME_FILE names it."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,

    /// Format of the log
    #[arg(long, global = true, display_order = 900, value_enum, env = "LOCKSTEP_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Lines for people, or objects for programs
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<Serve>),
    Check(Box<Check>),
    Doctor(Doctor),
    Drift(Drift),
    Ticket(Ticket),
    Manifest(Manifest),
    Rekey(Rekey),
    ImportSettings(ImportSettings),
    Backfill(Backfill),
    Work(Work),
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// The program `lockstep-sidecar`; returns its exit code.
pub fn main() -> ExitCode {
    // Exits with status 2 itself if the command line is invalid.
    let arguments = secret_file::with_files(Arguments::command())
        .map(|command| command.get_matches())
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .unwrap_or_else(|error| error.exit());
    let (is_quiet, is_json) = (
        // A progress bar or other output would mix with log lines.
        matches!(
            arguments.command,
            Command::Backfill(_)
                | Command::Check(_)
                | Command::Doctor(_)
                | Command::Drift(_)
                | Command::Ticket(_)
                | Command::Manifest(_)
                | Command::Generate(_)
        ),
        arguments.log_format == LogFormat::Json,
    );
    // The database or a remote server does the slow work, so one thread is enough; requests are many.
    let runtime = match arguments.command {
        Command::Serve(_) => Builder::new_multi_thread().enable_all().build(),
        _ => Builder::new_current_thread().enable_all().build(),
    };
    let outcome = runtime.map_err(Error::from).and_then(|runtime| {
        let outcome = runtime.block_on(async {
            let log = log::begin(is_quiet, is_json);
            let outcome = match &arguments.command {
                Command::Serve(serve) => serve::run(serve).await,
                Command::Check(check) => check::run(check).await,
                Command::Doctor(doctor) => doctor::run(doctor).await,
                Command::Drift(drift) => drift::run(drift).await,
                Command::Ticket(ticket) => ticket::run(ticket).await,
                Command::Manifest(manifest) => manifest::print(manifest),
                Command::Rekey(rekey) => rekey::run(rekey).await,
                Command::ImportSettings(import) => import_settings::run(import).await,
                Command::Backfill(backfill) => backfill::run(backfill).await,
                Command::Work(work) => work::run(work).await,
                Command::Generate(generate) => {
                    generate::run(generate, Arguments::command().disable_help_subcommand(true))
                }
            };
            log.end().await;
            outcome
        });
        // A pending name lookup must not delay the exit.
        runtime.shutdown_background();
        outcome
    });
    let status = outcome.unwrap_or_else(|error| {
        text::tell(&error.report());
        ExitCode::from(error::STATUS)
    });
    match text::unwritten() {
        None => status,
        // Whoever reads the output has not got all of it.
        Some(reason) => {
            text::tell(&format!("error: cannot write to stdout: {reason}"));
            match status == ExitCode::SUCCESS {
                true => ExitCode::from(error::STATUS),
                false => status,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::error::ErrorKind;
    use clap::{Arg, ArgAction, Command, CommandFactory};

    use super::Arguments;

    #[test]
    fn declarations_are_consistent() {
        Arguments::command().debug_assert();
    }

    /// What a variable with that text means for a flag.
    fn meaning(flag: &Arg, text: &'static str) -> Result<bool, ErrorKind> {
        let flag = flag.clone().env(Resettable::Reset).default_value(text);
        let id = flag.get_id().clone();
        let matches = Command::new("x").arg(flag).try_get_matches_from(["x"]);
        matches
            .map(|matches| matches.get_flag(id.as_str()))
            .map_err(|error| error.kind())
    }

    #[test]
    fn a_variable_is_yes_or_no_and_a_typo_is_neither() {
        let command = Arguments::command();
        let arguments = command.get_subcommands().flat_map(Command::get_arguments);
        let is_flag =
            |it: &&Arg| it.get_env().is_some() && matches!(it.get_action(), ArgAction::SetTrue);
        let flags: Vec<&Arg> = arguments.filter(is_flag).collect();
        assert!(flags.len() >= 7, "{flags:?}");
        for flag in flags {
            for (text, is) in [("1", true), ("yes", true), ("0", false), ("off", false)] {
                assert_eq!(meaning(flag, text), Ok(is), "{flag} {text}");
            }
            for text in ["maybe", "flase", "2"] {
                let refused = meaning(flag, text);
                assert_eq!(refused, Err(ErrorKind::ValueValidation), "{flag} {text}");
            }
        }
    }
}
