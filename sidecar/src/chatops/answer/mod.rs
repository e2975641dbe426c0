//! The commands, and what each answers.

mod backfill;
mod deployment;
mod drift;
mod flag;
mod incident;
mod worker;

use crate::chatops::arguments::Command;
use crate::chatops::given::Given;
use crate::chatops::page::Answer;

pub(crate) use flag::LARGE_STEP_BUTTON;

pub(super) async fn answer(given: &Given<'_>, command: Command) -> Result<Answer, Answer> {
    match command {
        Command::Feature(command) => flag::answer(given, command).await,
        Command::AutoDeploy(command) => deployment::auto_deploy(given, command).await,
        Command::Release(command) => deployment::release(given, command).await,
        Command::Backfill(command) => backfill::answer(given, command).await,
        Command::Workers(command) => worker::answer(given, command).await,
        Command::Drift(command) => drift::answer(given, command).await,
        Command::Rollout(command) => flag::rollout(given, command).await,
        Command::Incident(command) => incident::answer(given, command).await,
    }
}
