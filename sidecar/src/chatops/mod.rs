//! The slash command `/chatops`: flags, deployments and backfills of several databases, from Slack. Its text is split into words
//! and parsed like a command line ([`arguments`]). [`guard`] decides who may do what where. Changes are made by functions in the
//! [`environment`]'s database, once however often the command is delivered (flags in agreement with other environments), and
//! reported in the channel and to the group that owns the flag ([`announce`]). A new command is a file in [`mod@answer`], and a line there and in
//! [`arguments`].

mod announce;
mod answer;
mod arguments;
mod environment;
mod given;
mod guard;
mod outcome;
mod page;
mod settings;
mod state;

pub(crate) use announce::TeamWorkers;
pub(crate) use answer::LARGE_STEP_BUTTON;
pub(crate) use environment::{Environment, Environments};
pub(crate) use settings::{COMMAND, Chatops, Settings};
pub(crate) use state::App;

use std::sync::Arc;

use crate::http::has_failed;
use crate::slack::{Reply, SlashCommand, request_note};

use given::Given;
use page::Answer;

/// Executes a command. This takes as long as the databases do.
pub(crate) async fn reply(app: Arc<App>, slash: SlashCommand) -> Vec<Reply> {
    let mut answer = answer(&app, &slash).await;
    if has_failed()
        && let Some(note) = request_note()
    {
        answer.say(format!(
            "The app's operator finds what failed in the log {note}."
        ));
    }
    answer.pages()
}

async fn answer(app: &Arc<App>, slash: &SlashCommand) -> Answer {
    if app.environments.is_empty() {
        return Answer::text(
            "Chatops is off: no environment is configured. The app's operator can set `--environment`.",
        );
    }
    let command = match arguments::parse(&slash.text) {
        Ok(command) => command,
        Err(answer) => return answer,
    };
    let given = Given::new(app, slash);
    if let Err(answer) = guard::check_may(&given).await {
        return answer;
    }
    let answered = answer::answer(&given, command).await;
    answered.unwrap_or_else(|refusal| refusal)
}
