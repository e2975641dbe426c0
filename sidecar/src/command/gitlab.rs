//! GitLab's commands. GitLab only knows projects by alias; people know their paths.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use tokio::time::timeout;

use super::help::NAME as HELP;
use super::parse::Words;
use super::state::App;
use crate::database::Which;
use crate::error::{Error, complain};
use crate::pass_through::PassThrough;
use crate::slack::{Original, Reply, SlashCommand, code, escape, shorten};

/// GitLab's only command of several words without a project.
const WITHOUT_PROJECT: &str = "incident declare";

/// The timeout of the alias lookup; without it GitLab itself reports unknown projects.
const PATIENCE: Duration = Duration::from_secs(5);

/// `sent` is the text as Slack sent it.
pub(super) async fn pass_on(
    app: &Arc<App>,
    gitlab: &Arc<PassThrough>,
    slash: SlashCommand,
    sent: String,
    original: Original,
) -> Response {
    let url = slash.response_url.clone();
    let preparing = prepare(Arc::clone(app), Arc::clone(gitlab), slash, sent, original);
    gitlab.command(url, preparing).await
}

/// Our own commands, and those that GitLab lists.
pub(super) async fn help(
    app: &Arc<App>,
    gitlab: &Arc<PassThrough>,
    own: &str,
    slash: SlashCommand,
    sent: String,
    original: Original,
) -> Response {
    let url = slash.response_url.clone();
    let preparing = prepare(Arc::clone(app), Arc::clone(gitlab), slash, sent, original);
    gitlab.help(own, url, preparing).await
}

/// The request for GitLab: unchanged, except for the project's name. Or an answer to return instead.
async fn prepare(
    app: Arc<App>,
    gitlab: Arc<PassThrough>,
    slash: SlashCommand,
    sent: String,
    original: Original,
) -> Result<Original, Reply> {
    // GitLab fails on a command without words.
    if slash.text.trim().is_empty() {
        return Ok(gitlab.with_text(original, HELP));
    }
    let found = timeout(PATIENCE, find(&app, &gitlab, &slash)).await;
    match found.unwrap_or(Err(Error::Silent)) {
        Ok(Project::As(alias)) => Ok(gitlab.with_text(original, &with_alias(&sent, &alias))),
        Ok(Project::AsGiven) => Ok(original),
        Ok(Project::NotConnected(reply)) => Err(reply),
        Err(error) => {
            complain!(error, "an alias could not be looked up");
            Ok(original)
        }
    }
}

/// GitLab's name for the requested project.
enum Project {
    AsGiven,
    As(String),
    NotConnected(Reply),
}

async fn find(app: &App, gitlab: &PassThrough, slash: &SlashCommand) -> Result<Project, Error> {
    let Words { alias, .. } = Words::of(&slash.text);
    let Some(given) = alias.filter(|_| slash.text.trim() != WITHOUT_PROJECT) else {
        return Ok(Project::AsGiven);
    };
    let alias = match app.aliases.get(&slash.owner, given) {
        Some(alias) => Some(alias),
        // Rare and large: otherwise every command would reserve the space for it.
        None => Box::pin(look_up(app, slash, given)).await?,
    };
    Ok(match alias {
        Some(alias) if alias == given => Project::AsGiven,
        Some(alias) => Project::As(alias),
        None => match gitlab.settings_of(given) {
            Some(url) => Project::NotConnected(Reply::new(format!(
                "{} is not connected to this workspace. Its maintainers can connect it <{url}|in its settings>; {} lists connected projects.",
                code(&shorten(given, 100)),
                code(&format!("{} status", slash.command)),
            ))),
            None => Project::AsGiven,
        },
    })
}

async fn look_up(app: &App, slash: &SlashCommand, given: &str) -> Result<Option<String>, Error> {
    let which = Which::Alias(given);
    let found = app.database.integrations(slash.owner.tenant(), which, 1);
    let alias = found.await?.into_iter().next().map(|found| found.alias);
    if let Some(alias) = &alias {
        app.aliases.keep(&slash.owner, given, alias);
    }
    Ok(alias)
}

/// The same text with another first word.
fn with_alias(sent: &str, alias: &str) -> String {
    let sent = sent.trim_start();
    let rest = sent.find(char::is_whitespace).map_or("", |at| &sent[at..]);
    format!("{}{rest}", escape(alias))
}

#[cfg(test)]
mod tests {
    use super::with_alias;

    #[test]
    fn all_but_the_first_word_stays() {
        assert_eq!(
            with_alias(" a/b  issue new &lt;x&gt;\n y ", "tea & milk"),
            "tea &amp; milk  issue new &lt;x&gt;\n y "
        );
        assert_eq!(with_alias("a", "b"), "b");
        assert_eq!(with_alias("", "b"), "b");
    }
}
