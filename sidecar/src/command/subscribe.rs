//! Channels that follow projects without being those of the project's integration: `/gitlab subscribe group/project #channel`.

use tokio_postgres::error::SqlState;

use super::given::{Answering, Command, Given};
use super::state::App;
use crate::database::EVENTS;
use crate::error::Error;
use crate::followed;
use crate::slack::{Reply, code, shorten};

pub(super) const SUBSCRIBE: Command = Command {
    name: "subscribe",
    usage: "subscribe group/project #channel` lets a channel follow a project; add events, such as `push, pipeline`, for others than the default, and `default` for it again",
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
        let events = match asked.events() {
            Ok(events) => events,
            Err(unknown) => return Ok(Reply::new(no_event(unknown))),
        };
        let user = given.slash.user.as_str();
        let tenant = given.slash.owner.tenant();
        let subscribed = app.database.subscribe(
            tenant,
            user,
            asked.project,
            asked.channel,
            events.as_deref(),
        );
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
            it.events.join(", ")
        )))
    })
}

fn unsubscribe<'a>(app: &'a App, given: &'a Given) -> Answering<'a> {
    Box::pin(async move {
        let slash = given.slash.command.as_str();
        let Some(asked) = Asked::of(given).filter(|it| it.events.is_empty()) else {
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

/// The words of a command.
#[derive(Debug, PartialEq, Eq)]
struct Asked<'a> {
    project: &'a str,
    channel: &'a str,
    /// With its #, if it is the channel in which the command was typed.
    name: Option<String>,
    /// As they were typed.
    events: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    /// `subscribe group/project`, or `group/project subscribe`; without a channel, the one in which it was typed. None if a word is
    /// missing.
    fn of(given: &'a Given) -> Option<Self> {
        let separator = |letter: char| letter.is_whitespace() || letter == ',';
        let mut words = given.rest.split(separator).filter(|word| !word.is_empty());
        let project = match given.alias.as_deref() {
            Some(alias) => alias,
            None => words.next()?,
        };
        let mut words = words.peekable();
        let named = words.peek().and_then(|word| channel_of(word));
        if named.is_some() {
            words.next();
        }
        // The name and the id of the same channel would be two subscriptions until Slack tells the id.
        let name_here = Some(given.slash.channel_name.as_str()).filter(|name| !name.is_empty());
        let is_here = |name: &str| name_here.is_some() && name.strip_prefix('#') == name_here;
        // A conversation is none that a project notifies.
        let here = Some(given.slash.channel.as_str()).filter(|it| it.starts_with(['C', 'G']));
        let channel = named
            .filter(|name| here.is_none() || !is_here(name))
            .or(here)?;
        Some(Self {
            project,
            channel,
            name: name_here
                .filter(|_| Some(channel) == here)
                .map(|name| format!("#{name}")),
            events: words.collect(),
        })
    }

    /// The names of the events, none for the default again; nothing if they stay as they are. Or the first word that is unknown.
    fn events(&self) -> Result<Option<Vec<&'static str>>, &'a str> {
        if let [word] = self.events[..]
            && word.eq_ignore_ascii_case("default")
        {
            return Ok(Some(Vec::new()));
        }
        let events = self.events.iter().map(|word| {
            let name = word.to_lowercase().replace('-', "_");
            let found = EVENTS.iter().find(|event| event.name == name);
            found.map(|event| event.name).ok_or(*word)
        });
        let events: Vec<&str> = events.collect::<Result<_, _>>()?;
        Ok((!events.is_empty()).then_some(events))
    }
}

/// A name with its #, an id, or what Slack makes of a channel's name: `<#C0123|name>`.
fn channel_of(word: &str) -> Option<&str> {
    if let Some(link) = word
        .strip_prefix("<#")
        .and_then(|link| link.strip_suffix('>'))
    {
        let (id, _) = link.split_once('|').unwrap_or((link, ""));
        return channel_of(id);
    }
    let is_id = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
    let is_id = word.starts_with(['C', 'G']) && word.len() > 1 && word.bytes().all(is_id);
    (is_id || word.starts_with('#')).then_some(word)
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

/// A channel or an event that is none: nothing else that is given can be invalid.
fn invalid(error: Error, asked: &Asked, slash: &str) -> Result<Reply, Error> {
    if !error.has_code(&SqlState::INVALID_PARAMETER_VALUE) {
        return Err(error);
    }
    Ok(Reply::new(format!(
        "{} is not a channel, or not every event is one of a project.\n{}",
        followed::channel(asked.channel),
        usage(slash)
    )))
}

fn shown(path: &str) -> String {
    code(&shorten(path, 200))
}

fn no_event(word: &str) -> String {
    let names = EVENTS
        .iter()
        .map(|event| event.name)
        .filter(|name| !name.starts_with("group_"));
    let names: Vec<&str> = names.collect();
    format!(
        "{} is not an event of a project. These are: {}; `default` is the usual ones.",
        code(&shorten(word, 50)),
        names.join(", ")
    )
}

fn usage(slash: &str) -> String {
    format!(
        "For example {}. Without a channel it is the one in which you type it; a conversation cannot follow a project.",
        code(&format!("{slash} subscribe group/project #channel"))
    )
}

#[cfg(test)]
mod tests {
    use super::{Asked, Given, channel_of};
    use crate::slack::SlashCommand;

    fn given(alias: Option<&str>, rest: &str, channel: &str) -> Given {
        Given {
            slash: SlashCommand {
                channel: channel.to_owned(),
                channel_name: "here".to_owned(),
                ..SlashCommand::default()
            },
            alias: alias.map(str::to_owned),
            rest: rest.to_owned(),
        }
    }

    #[test]
    fn words_name_a_project_a_channel_and_events() {
        for (alias, rest, here, expected) in [
            (None, "g/p", "C1", Some(("g/p", "C1", ""))),
            (None, "g/p", "D1", None),
            (None, "g/p", "", None),
            (None, "", "C1", None),
            (Some("g/p"), "", "G1", Some(("g/p", "G1", ""))),
            (Some("g/p"), "#c", "D1", Some(("g/p", "#c", ""))),
            // The channel in which it is typed has one name, its id.
            (None, "g/p #here push", "C1", Some(("g/p", "C1", "push"))),
            (None, "g/p #here-too", "C1", Some(("g/p", "#here-too", ""))),
            (None, "g/p #here", "D1", Some(("g/p", "#here", ""))),
            (None, "g/p <#C2|see>", "C1", Some(("g/p", "C2", ""))),
            (
                None,
                "g/p #c push, Tag-Push",
                "C1",
                Some(("g/p", "#c", "push Tag-Push")),
            ),
            (
                None,
                "g/p push,issue",
                "C1",
                Some(("g/p", "C1", "push issue")),
            ),
            (None, "g/p push #c", "C1", Some(("g/p", "C1", "push #c"))),
        ] {
            let given = given(alias, rest, here);
            let asked = Asked::of(&given);
            let found = asked.map(|it| (it.project, it.channel, it.events.join(" ")));
            let found = found.as_ref().map(|it| (it.0, it.1, it.2.as_str()));
            assert_eq!(found, expected, "{rest}");
        }
    }

    #[test]
    fn events_are_known_by_name() {
        let events = |rest: &str| {
            let given = given(None, rest, "C1");
            let asked = Asked::of(&given).map(|it| it.events().map_err(str::to_owned));
            asked.unwrap_or(Ok(None))
        };
        assert_eq!(events("g/p"), Ok(None));
        assert_eq!(events("g/p Tag-Push"), Ok(Some(vec!["tag_push"])));
        assert_eq!(events("g/p Default"), Ok(Some(Vec::new())));
        assert_eq!(events("g/p push default"), Err("default".to_owned()));
        assert_eq!(events("g/p push all"), Err("all".to_owned()));
    }

    #[test]
    fn a_channel_has_three_forms() {
        assert_eq!(channel_of("#c"), Some("#c"));
        assert_eq!(channel_of("C0123"), Some("C0123"));
        assert_eq!(channel_of("<#C0123|name>"), Some("C0123"));
        for word in ["c", "C", "D0123", "<@U1>", "<!channel>", "<#c|C1>"] {
            assert_eq!(channel_of(word), None, "{word}");
        }
    }
}
