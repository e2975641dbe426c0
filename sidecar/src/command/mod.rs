//! Slash commands: `/gitlab <alias> <command>`, or `/gitlab <command>`. A new command is a file beside this one, and a line in
//! [`COMMANDS`]. Slash commands of other names are those of other rooms ([`Other`]).

mod given;
mod help;
mod late;
mod parse;
mod state;
mod status;
mod test;
mod worker;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use tracing::warn;

use crate::error::Error;
use crate::http::path::COMMANDS as PATH;
use crate::http::{Counter, count};
use crate::slack::{Reply, Signed, SlashCommand, unescape};

use given::{Command, Given};
use parse::Words;
pub(crate) use state::{App, Other};
pub(crate) use worker::ReplyWorkers;

static COMMANDS: [Command; 2] = [status::COMMAND, test::COMMAND];

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route(PATH, post(receive))
        .with_state(Arc::new(app))
}

async fn receive(State(app): State<Arc<App>>, Signed(mut slash): Signed<SlashCommand>) -> Reply {
    let url = slash.response_url.clone();
    if let Some(other) = app.others.iter().find(|other| other.name == slash.command) {
        count(Counter::COMMANDS, other.counted);
        return late::all_in_time(&app, url, (other.answer)(slash)).await;
    }
    slash.text = unescape(&slash.text);
    let Words { alias, name, .. } = Words::of(&slash.text);
    if name == help::NAME {
        count(Counter::COMMANDS, help::NAME);
        return help::list(&slash.command, &COMMANDS);
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        count(Counter::COMMANDS, "unknown");
        return help::unknown(&slash, &COMMANDS);
    };
    count(Counter::COMMANDS, command.name);
    let given = Given {
        alias: alias.map(str::to_owned),
        slash,
    };
    let asking = {
        let app = Arc::clone(&app);
        async move {
            let answered = (command.run)(&app, &given).await;
            answered.unwrap_or_else(sorry)
        }
    };
    late::in_time(&app, url, asking).await
}

/// The database's error is logged, and not told.
fn sorry(error: Error) -> Reply {
    warn!(error = %error.report(), "a command failed");
    Reply::new(
        ":warning: The database does not answer now. Nothing was changed; try again in a moment.",
    )
}
