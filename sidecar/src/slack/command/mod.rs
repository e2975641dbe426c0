//! Slash commands: `/gitlab <alias> <command>`, or `/gitlab <command>`. A new command is a file beside this one, and a line in
//! [`COMMANDS`].

mod help;
mod parse;
mod status;
mod test;
mod trouble;

use std::pin::Pin;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use tracing::warn;

use super::late;
use super::message::{Reply, unescape};
use super::payload::SlashCommand;
use crate::app::App;
use crate::chatops;
use crate::error::Error;
use crate::serve::{Counter, Problem, count};

use parse::Words;
pub(super) use status::{events, needs_reinstallation};
pub(crate) use trouble::advice;

type Answering<'a> = Pin<Box<dyn Future<Output = Result<Reply, Error>> + Send + 'a>>;

/// A command that people can give.
struct Command {
    name: &'static str,
    /// What is said of it in the help.
    usage: &'static str,
    run: Run,
}

enum Run {
    /// It knows the answer.
    AtOnce(fn(&SlashCommand) -> Reply),
    /// It asks somebody, who may take longer than Slack waits.
    Asking(for<'a> fn(&'a App, &'a Given) -> Answering<'a>),
}

/// A command that was given.
struct Given {
    slash: SlashCommand,
    alias: Option<String>,
}

static COMMANDS: [Command; 3] = [help::COMMAND, status::COMMAND, test::COMMAND];

pub(crate) async fn receive_command(
    State(app): State<Arc<App>>,
    body: Bytes,
) -> Result<Response, Problem> {
    let mut slash = SlashCommand::parse(&body).ok_or(Problem::bad_request(
        "The form lacks team_id, user_id or command.",
    ))?;
    if slash.command == chatops::COMMAND {
        count(Counter::COMMANDS, "chatops");
        let url = slash.response_url.clone();
        let slash = slash.with_origin(&body);
        let answering = {
            let app = Arc::clone(&app);
            async move { chatops::answer(&app, &slash).await.pages() }
        };
        return Ok(late::all_in_time(&app, url, answering)
            .await
            .into_response());
    }
    slash.text = unescape(&slash.text);
    let Words { alias, name, .. } = Words::of(&slash.text);
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        count(Counter::COMMANDS, "unknown");
        return Ok(help::unknown(&slash).into_response());
    };
    count(Counter::COMMANDS, command.name);
    match command.run {
        Run::AtOnce(run) => Ok(run(&slash).into_response()),
        Run::Asking(run) => {
            let url = slash.response_url.clone();
            let given = Given {
                alias: alias.map(str::to_owned),
                slash,
            };
            let asking = {
                let app = Arc::clone(&app);
                async move { run(&app, &given).await.unwrap_or_else(sorry) }
            };
            Ok(late::in_time(&app, url, asking).await.into_response())
        }
    }
}

/// The database's error is logged, and not told.
fn sorry(error: Error) -> Reply {
    warn!(error = %error.report(), "a command failed");
    Reply::new(
        ":warning: The database does not answer now. Nothing was changed; try again in a moment.",
    )
}
