//! Channels that follow projects without being those of the project's integration: `/gitlab subscribe group/project #channel`.

mod words;

use tokio_postgres::error::SqlState;

use super::given::{Answering, Command, Given};
use super::state::App;
use crate::error::Error;
use crate::followed;
use crate::slack::{Reply, code, shorten};
use words::{Asked, text};

pub(super) const SUBSCRIBE: Command = Command {
    name: "subscribe",
    usage: "subscribe group/project #channel` lets a channel follow a project; add events, such as `push, pipeline`, for others than the default, conditions, such as `branches=main,release/*`, and `default` for the default again",
    run: subscribe,
};

pub(super) const UNSUBSCRIBE: Command = Command {
    name: "unsubscribe",
    usage: "unsubscribe group/project #channel` ends that",
    run: unsubscribe,
};

pub(super) const LIST: Command = Command {
    name: "subscriptions",
    usage: "subscriptions` lists what channels of this workspace follow",
    run: list,
};

/// This many are listed.
const MOST: i32 = 50;

fn subscribe<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = given.slash.command.as_str();
        let Some(asked) = Asked::of(given) else {
            return Ok(Reply::new(usage(slash)));
        };
        let choice = match asked.choice() {
            Ok(choice) => choice,
            Err(wrong) => return Ok(Reply::new(text(wrong))),
        };
        let user = given.slash.user.as_str();
        let tenant = given.slash.owner.tenant();
        let subscribed =
            app.database
                .subscribe(tenant, user, asked.project, asked.channel, choice.as_ref());
        let it = match subscribed.await {
            Ok(it) => it,
            Err(error) => return invalid(error, &asked, slash),
        };
        let what = match it.outcome.as_str() {
            "subscribed" => "now follows",
            "changed" => "still follows",
            "unchanged" => "already follows",
            refusal => return Ok(refused(refusal, &asked, slash)),
        };
        let (channel, path) = (followed::channel(&it.channel), shown(&it.path));
        Ok(Reply::new(format!(
            ":white_check_mark: {channel} {what} {path}: {}.\nEverybody in the channel sees these events, whoever may see the project in GitLab.",
            followed::events(&it.events, &it.routes)
        )))
    })
}

fn unsubscribe<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = given.slash.command.as_str();
        let Some(asked) = Asked::of(given).filter(Asked::is_plain) else {
            return Ok(Reply::new(usage(slash)));
        };
        let user = given.slash.user.as_str();
        let tenant = given.slash.owner.tenant();
        let is_manager = app.managers.contains(user);
        let end = |channel| {
            let project = asked.project;
            app.database
                .unsubscribe(tenant, user, project, channel, is_manager)
        };
        let mut it = match end(asked.channel).await {
            Ok(it) => it,
            Err(error) => return invalid(error, &asked, slash),
        };
        // Before the first message the database does not know that the name of this channel is the same.
        if let Some(name) = asked
            .name
            .as_deref()
            .filter(|_| it.outcome != "not_allowed")
        {
            match end(name).await {
                Ok(other) if other.outcome == "not_subscribed" => {}
                Ok(other) => it = other,
                // Slack has words for conversations without a name.
                Err(error) if error.has_code(&SqlState::INVALID_PARAMETER_VALUE) => {}
                Err(error) => return Err(error),
            }
        }
        match it.outcome.as_str() {
            "unsubscribed" => Ok(Reply::new(format!(
                ":white_check_mark: {} no longer follows {}.",
                followed::channel(&it.channel),
                shown(&it.path)
            ))),
            "not_allowed" => Ok(Reply::new(
                ":no_entry: Only who subscribed the channel, maintainers of the project with a linked GitLab account, and managers of the app end a subscription.",
            )),
            refusal => Ok(refused(refusal, &asked, slash)),
        }
    })
}

fn list<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = given.slash.command.as_str();
        let tenant = given.slash.owner.tenant();
        let found = app.database.subscriptions(tenant, MOST + 1).await?;
        if found.is_empty() {
            return Ok(Reply::new(format!(
                "No channel of this workspace follows a project by a subscription.\n{}",
                usage(slash)
            )));
        }
        let shown = &found[..found.len().min(MOST as usize)];
        let more = match found.len() > shown.len() {
            true => "… and more\n",
            false => "",
        };
        Ok(Reply::new(format!(
            "*Followed by channels of this workspace*\n{}{more}",
            followed::lines(shown)
        )))
    })
}

/// What the database refuses, in words for the user.
fn refused(outcome: &str, asked: &Asked, slash: &str) -> Reply {
    let (project, channel) = (shown(asked.project), followed::channel(asked.channel));
    let list = code(&format!("{slash} subscriptions"));
    Reply::new(match outcome {
        "not_linked" => {
            ":link: Link your GitLab account to Slack first: in GitLab, User settings, Integration accounts.".to_owned()
        }
        "not_allowed" => format!(
            ":no_entry: There is no project {project} that you maintain. Check the path, or ask a maintainer of the project."
        ),
        "not_subscribed" => format!(
            ":grey_question: {channel} does not follow {project}. {list} lists what channels follow."
        ),
        "too_many" => format!(
            ":no_entry: Ten channels of this workspace follow {project} already. {list} lists them."
        ),
        "not_installed" => "The app is not installed in this workspace any more.".to_owned(),
        other => format!(":no_entry: The database refused it: {}.", code(other)),
    })
}

/// A channel or an event that is none, or a value of a condition that is too long: nothing else that is given can be invalid.
fn invalid(error: Error, asked: &Asked, slash: &str) -> Result<Reply, Error> {
    if !error.has_code(&SqlState::INVALID_PARAMETER_VALUE) {
        return Err(error);
    }
    Ok(Reply::new(format!(
        "{} is not a channel, not every event is one of a project, or a condition is too long.\n{}",
        followed::channel(asked.channel),
        usage(slash)
    )))
}

fn shown(path: &str) -> String {
    code(&shorten(path, 200))
}

fn usage(slash: &str) -> String {
    format!(
        "For example {}. Without a channel it is the one in which you type it; a conversation cannot follow a project.",
        code(&format!("{slash} subscribe group/project #channel"))
    )
}
