//! The command `backfill`: starts a run of a job or finds the existing one ([`begin`]), watches it ([`watch`]) in a terminal or
//! in lines ([`display`]), and summarizes the result ([`summary`]); or tells what it would do ([`preview`]).

mod arguments;
mod begin;
mod display;
mod preview;
mod summary;
mod watch;

use std::process::ExitCode;

use crate::connection::Address;
use crate::database::{Database, Status};
use crate::error::{Error, INTERRUPTED};
use crate::text::{say, tell};

use crate::interrupt::Interrupts;
pub(crate) use arguments::Backfill;
use begin::Begun;
use display::Display;
use watch::{End, Watch};

pub(crate) async fn run(arguments: &Backfill) -> Result<ExitCode, Error> {
    let address = Address::new(arguments.connection.database_url.as_ref())?;
    let database = Database::open(&address).await?;
    // From here on a signal does not end the process: there may be a run to pause, or a statement to cancel.
    let mut interrupts = Interrupts::listen()?;
    if arguments.dry_run {
        return preview::run(&address, &database, arguments, &mut interrupts).await;
    }
    let begun = begin::begin(&address, &database, arguments, &mut interrupts).await?;
    let (run, how) = match &begun {
        Begun::Started(run) => (*run, format!("started run {run} of {}", arguments.job)),
        Begun::Attached(progress) => (
            progress.run,
            format!(
                "attached to run {} of {}, which was {}{}",
                progress.run,
                progress.job,
                progress.status.name(),
                match progress.status == Status::Running && progress.workers == 0 {
                    true => " without a worker",
                    false => "",
                }
            ),
        ),
        Begun::Interrupted(run) => return Ok(interrupted(*run, arguments)),
    };
    let mut display = Display::new(arguments.every);
    display.note(&how);
    let mut watch = Watch::new(address, database, run, arguments.detach_on_interrupt);
    let end = watch.until_the_end(&mut interrupts, &mut display).await;
    display.clear();
    match end? {
        End::Over(progress) => {
            let set_aside = watch.set_aside().await?;
            say(&summary::of(&progress, &set_aside));
            Ok(match progress.status {
                Status::Finished => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            })
        }
        End::WithoutWorkers(progress) => {
            say(&summary::of(&progress, &[]));
            tell(&format!("error: the workers of run {run} keep ending"));
            if let Some(error) = &progress.last_error {
                tell(&format!("detail: {error}"));
            }
            tell(&format!(
                "hint: see the server's log, then: {}",
                arguments.command_to_go_on()
            ));
            Ok(ExitCode::FAILURE)
        }
        End::Paused(progress) => {
            say(&summary::of(&progress, &[]));
            say(&format!("resume: {}\n", arguments.command_to_go_on()));
            Ok(ExitCode::from(INTERRUPTED))
        }
        End::Left { pausing } => {
            say(&format!(
                "run {run} {}\n",
                match pausing {
                    true => "will pause; this command did not wait for its workers",
                    false => "continues by itself",
                }
            ));
            let what = if pausing { "resume" } else { "watch it again" };
            say(&format!("{what}: {}\n", arguments.command_to_go_on()));
            Ok(ExitCode::from(INTERRUPTED))
        }
    }
}

/// Interrupted before there was anything to watch.
fn interrupted(run: Option<i64>, arguments: &Backfill) -> ExitCode {
    match run {
        None => tell("interrupted before a run was started"),
        Some(run) => {
            say(&format!(
                "run {run} {}\n",
                match arguments.detach_on_interrupt {
                    true => "continues by itself",
                    false => "will pause",
                }
            ));
            say(&format!("resume: {}\n", arguments.command_to_go_on()));
        }
    }
    ExitCode::from(INTERRUPTED)
}
