//! What somebody typed: a project, a channel, events and conditions.

use serde_json::{Map, json};

use crate::command::given::Given;
use crate::database::{Choice, EVENTS};
use crate::route::{self, Wrong};
use crate::slack::{code, shorten, unescape};

/// The words of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) project: &'a str,
    pub(super) channel: &'a str,
    /// With its #, if it is the channel in which the command was typed.
    pub(super) name: Option<String>,
    /// As they were typed.
    pub(super) events: Vec<&'a str>,
    /// `name=value`.
    pub(super) conditions: Vec<&'a str>,
}

impl<'a> Asked<'a> {
    /// `subscribe group/project`, or `group/project subscribe`; without a channel, the one in which it was typed. None if a word is
    /// missing.
    pub(super) fn of(given: &'a Given) -> Option<Self> {
        let mut words = route::words(&given.rest);
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
        let (conditions, events) = words.partition(|word| word.contains('='));
        Some(Self {
            project,
            channel,
            name: name_here
                .filter(|_| Some(channel) == here)
                .map(|name| format!("#{name}")),
            events,
            conditions,
        })
    }

    pub(super) fn is_plain(&self) -> bool {
        self.events.is_empty() && self.conditions.is_empty()
    }

    /// What the channel is to get from now on; None if that stays as it is. Or the first word that is unknown.
    pub(super) fn choice(&self) -> Result<Option<Choice<'static>>, Wrong<'a>> {
        if self.is_plain() {
            return Ok(None);
        }
        let is_default = matches!(self.events[..], [word] if word.eq_ignore_ascii_case("default"));
        let events = match is_default {
            true => Vec::new(),
            false => {
                let events = self
                    .events
                    .iter()
                    .map(|word| route::event(word).ok_or(Wrong::Event(word)));
                events.collect::<Result<_, _>>()?
            }
        };
        let mut route = Map::new();
        for word in self.conditions.iter().copied() {
            route::add(&mut route, word, unescape)?;
        }
        Ok(Some(Choice {
            events,
            routes: match route.is_empty() {
                true => json!([]),
                false => json!([route]),
            },
        }))
    }
}

/// What is wrong, in words for the user.
pub(super) fn text(wrong: Wrong<'_>) -> String {
    match wrong {
        Wrong::Event(word) => {
            let names = EVENTS.iter().map(|event| event.name);
            let names: Vec<&str> = names.filter(|name| !name.starts_with("group_")).collect();
            format!(
                "{} is not an event of a project. These are: {}; `default` is the usual ones.",
                code(&shorten(word, 50)),
                names.join(", ")
            )
        }
        wrong => wrong.text(code),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Asked, Choice, Given, Wrong, channel_of};
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
            (
                None,
                "g/p push,,issue,branches=a,b",
                "C1",
                Some(("g/p", "C1", "push issue")),
            ),
        ] {
            let given = given(alias, rest, here);
            let asked = Asked::of(&given);
            let found = asked.map(|it| (it.project, it.channel, it.events.join(" ")));
            let found = found.as_ref().map(|it| (it.0, it.1, it.2.as_str()));
            assert_eq!(found, expected, "{rest}");
        }
    }

    #[test]
    fn events_and_conditions_are_known_by_name() {
        for (rest, events, routes) in [
            ("g/p Tag-Push", vec!["tag_push"], json!([])),
            ("g/p Default", vec![], json!([])),
            (
                "g/p branches=main,release/*",
                vec![],
                json!([{"branches": ["main", "release/*"]}]),
            ),
            (
                "g/p push,branches=main,a=b,",
                vec!["push"],
                json!([{"branches": ["main", "a=b"]}]),
            ),
            (
                "g/p #c push, merge_request Without-Labels=a&amp;b, without_labels=c drafts=FALSE",
                vec!["push", "merge_request"],
                json!([{"without_labels": ["a&b", "c"], "drafts": false}]),
            ),
            (
                "g/p labels=\"help wanted\",“a &lt; b” push",
                vec!["push"],
                json!([{"labels": ["help wanted", "a < b"]}]),
            ),
        ] {
            let given = given(None, rest, "C1");
            let choice = Asked::of(&given).map(|it| it.choice());
            assert_eq!(choice, Some(Ok(Some(Choice { events, routes }))), "{rest}");
        }
        for (rest, wrong) in [
            ("g/p push default", Wrong::Event("default")),
            ("g/p push all", Wrong::Event("all")),
            ("g/p branch=main", Wrong::Condition("branch=main")),
            ("g/p push,label=a", Wrong::Condition("label=a")),
            ("g/p labels=", Wrong::Empty("labels=")),
            ("g/p branches=main,,dev", Wrong::Empty("branches=main,,dev")),
            ("g/p branches=,main", Wrong::Empty("branches=,main")),
            ("g/p drafts=no", Wrong::Flag("drafts=no")),
            ("g/p labels=\"a b", Wrong::Quoted("labels=\"a b")),
        ] {
            let given = given(None, rest, "C1");
            let choice = Asked::of(&given).map(|it| it.choice());
            assert_eq!(choice, Some(Err(wrong)), "{rest}");
        }
        let given = given(None, "g/p", "C1");
        assert_eq!(Asked::of(&given).map(|it| it.choice()), Some(Ok(None)));
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
