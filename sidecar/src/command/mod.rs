//! Slash commands: `/gitlab <alias> <command>`, or `/gitlab <command>`. A new command is a file in this folder, and a line in
//! [`COMMANDS`]. Other slash commands belong to other rooms ([`Other`]); other commands of `/gitlab` belong to GitLab.

mod alias;
mod gitlab;
mod given;
mod help;
mod notify;
mod parse;
mod state;
mod status;
mod subscribe;
mod test;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;

use crate::error::{Error, complain};
use crate::http::path::COMMANDS as PATH;
use crate::http::{Counter, count};
use crate::late;
use crate::slack::{Reply, Signed, SlashCommand, unescape};

pub(crate) use alias::Aliases;
use given::{Command, Given};
use parse::Words;
pub(crate) use state::{App, Other};

static COMMANDS: [Command; 6] = [
    status::COMMAND,
    test::COMMAND,
    notify::COMMAND,
    subscribe::SUBSCRIBE,
    subscribe::UNSUBSCRIBE,
    subscribe::LIST,
];

pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route(PATH, post(receive))
        .with_state(Arc::new(app))
}

/// What waits for others than the database is boxed: otherwise each request would carry the space for it.
async fn receive(
    State(app): State<Arc<App>>,
    Signed(mut slash, original): Signed<SlashCommand>,
) -> Response {
    let url = slash.response_url.clone();
    if let Some(other) = app.others.iter().find(|other| other.name == slash.command) {
        count(Counter::COMMANDS, other.counted);
        let replying = late::all_in_time(&app.late, url, (other.answer)(slash));
        return Box::pin(replying).await.into_response();
    }
    let typed = unescape(&slash.text);
    let sent = std::mem::replace(&mut slash.text, typed);
    let Words { alias, name, rest } = Words::of(&slash.text);
    if name == help::NAME || name.is_empty() {
        count(Counter::COMMANDS, help::NAME);
        return match &app.pass_through {
            Some(gitlab) => {
                let own = help::listed(&slash.command, &COMMANDS);
                Box::pin(gitlab::help(&app, gitlab, &own, slash, sent, original)).await
            }
            None => help::list(&slash.command, &COMMANDS).into_response(),
        };
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        return match &app.pass_through {
            Some(gitlab) => {
                count(Counter::COMMANDS, "passed_on");
                Box::pin(gitlab::pass_on(&app, gitlab, slash, sent, original)).await
            }
            None => {
                count(Counter::COMMANDS, "unknown");
                help::unknown(&slash, &COMMANDS).into_response()
            }
        };
    };
    count(Counter::COMMANDS, command.name);
    let given = Given {
        alias: alias.map(str::to_owned),
        rest: rest.to_owned(),
        slash,
    };
    let asking = {
        let app = Arc::clone(&app);
        async move {
            let answered = (command.run)(&app, &given).await;
            answered.unwrap_or_else(sorry)
        }
    };
    late::in_time(&app.late, url, asking).await.into_response()
}

/// The database's error is logged, not shown.
fn sorry(error: Error) -> Reply {
    complain!(error, "a command failed");
    Reply::failed(
        ":warning: The database does not respond at the moment. Nothing was changed; try again soon.",
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::io;

    use super::COMMANDS;

    /// The page tells administrators what GitLab gets.
    #[test]
    fn the_page_about_gitlab_has_our_commands() -> io::Result<()> {
        let page = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/guides/pass-through.md"
        );
        let page = fs::read_to_string(page)?;
        let row = page
            .lines()
            .find_map(|it| it.strip_prefix("| slash commands |"));
        let row = row.unwrap_or_default();
        let ours = row.split('|').next().unwrap_or_default();
        let named: BTreeSet<&str> = ours
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|it| !it.starts_with('/'))
            .collect();
        let are: BTreeSet<&str> = COMMANDS.iter().map(|it| it.name).collect();
        assert_eq!(named, are);
        Ok(())
    }
}
