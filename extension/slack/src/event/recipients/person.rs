//! Which Slack users are mentioned or get a direct message: the people that an event is for, by their linked accounts, each as they
//! have chosen.

use super::protection::ChatNames;
use super::scope::Scope;
use crate::account::{Accounts, Asked};
use crate::event::person::{Choices, Chosen};
use crate::event::read::{Author, People};
use crate::event::settings::Settings;
use std::collections::BTreeSet;

/// A message that mentions more is a nuisance.
pub(super) const MOST_MENTIONS: usize = 20;

/// A person that an event is for, in one workspace.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Person {
    /// The application's id.
    pub(crate) user: i64,
    /// Slack's id; None without a linked account.
    pub(crate) slack_user: Option<String>,
    pub(crate) mention: Mention,
    /// None unless they want direct messages.
    pub(crate) direct: Option<Direct>,
}

/// Whether a person is mentioned, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mention {
    Mentioned,
    NotLinked,
    OwnAction,
    Off,
    QuietHours,
    TooMany,
}

/// Whether a person gets a direct message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Direct {
    Now,
    /// After their quiet hours, in that many microseconds.
    Later(i64),
    OwnAction,
    NoAccess,
}

impl Mention {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Mentioned => "mentioned",
            Self::NotLinked => "not_linked",
            Self::OwnAction => "own_action",
            Self::Off => "mentions_off",
            Self::QuietHours => "quiet_hours",
            Self::TooMany => "too_many",
        }
    }
}

impl Direct {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Now => "queued",
            Self::Later(_) => "quiet_hours",
            Self::OwnAction => "own_action",
            Self::NoAccess => "no_access",
        }
    }
}

impl Person {
    /// The Slack user to write to, and after how many microseconds.
    pub(crate) fn direct_message(&self) -> Option<(&str, i64)> {
        let user = self.slack_user.as_deref()?;
        match self.direct? {
            Direct::Now => Some((user, 0)),
            Direct::Later(wait) => Some((user, wait)),
            Direct::OwnAction | Direct::NoAccess => None,
        }
    }
}

/// What deciding about people needs, for a whole batch.
pub(crate) struct Circle<'a> {
    chat_names: &'a ChatNames,
    choices: &'a Choices,
    /// The roles that people have, of those that were looked up.
    roles: BTreeSet<Asked>,
}

impl<'a> Circle<'a> {
    pub(crate) fn new(chat_names: &'a ChatNames, choices: &'a Choices) -> Self {
        Self {
            chat_names,
            choices,
            roles: BTreeSet::new(),
        }
    }

    /// Looks up the roles of all who may get a direct message, at once.
    pub(crate) fn look_up(&mut self, schema: &str, asked: BTreeSet<Asked>) {
        if asked.is_empty() {
            return;
        }
        // Tables of several owners do not keep others from being notified.
        if let Some(accounts) = Accounts::find(schema).ok().flatten() {
            self.roles = accounts.holding(asked);
        }
    }

    /// The roles that decide who of these people gets a direct message.
    pub(crate) fn asked(&self, people: &People, scope: &Scope, team: &str) -> Vec<Asked> {
        let linked = people
            .users
            .iter()
            .flat_map(|user| self.chat_names.linked(*user, team));
        let wanting = linked.filter(|user| self.choices.of(team, user).direct_messages);
        wanting
            .filter_map(|user| role_of(team, user, scope, people.role))
            .collect()
    }

    pub(crate) fn persons(
        &self,
        people: &People,
        author: &Author,
        scope: &Scope,
        team: &str,
    ) -> Vec<Person> {
        let mut persons = Vec::new();
        for user in people.users.iter().copied() {
            let mut linked = self.chat_names.linked(user, team).peekable();
            if linked.peek().is_none() {
                persons.push(Person {
                    user,
                    slack_user: None,
                    mention: Mention::NotLinked,
                    direct: None,
                });
            }
            for slack_user in linked {
                let chosen = self.choices.of(team, slack_user);
                let is_own = author.id == Some(user) && !people.is_result && !chosen.own_actions;
                persons.push(Person {
                    user,
                    slack_user: Some(slack_user.to_owned()),
                    mention: mention(&chosen, is_own),
                    direct: match (chosen.direct_messages, is_own) {
                        (false, _) => None,
                        (true, true) => Some(Direct::OwnAction),
                        (true, false) => {
                            Some(match self.has_role(team, slack_user, scope, people.role) {
                                false => Direct::NoAccess,
                                true => chosen.quiet_for.map_or(Direct::Now, Direct::Later),
                            })
                        }
                    },
                });
            }
        }
        let mentioned = persons
            .iter_mut()
            .filter(|it| it.mention == Mention::Mentioned);
        for person in mentioned.skip(MOST_MENTIONS) {
            person.mention = Mention::TooMany;
        }
        persons
    }

    /// Slack's ids of those of these users who are to be mentioned, with spaces between.
    pub(crate) fn mentioned(&self, users: &BTreeSet<i64>, team: &str) -> Option<String> {
        let linked = users
            .iter()
            .flat_map(|user| self.chat_names.linked(*user, team));
        let is_wanted =
            |user: &&str| mention(&self.choices.of(team, user), false) == Mention::Mentioned;
        let ids: Vec<&str> = linked.filter(is_wanted).take(MOST_MENTIONS).collect();
        (!ids.is_empty()).then(|| ids.join(" "))
    }

    /// Whether they have that role where it happened, which was looked up: who was assigned may have left since.
    pub(super) fn has_role(&self, team: &str, slack_user: &str, scope: &Scope, role: i32) -> bool {
        role_of(team, slack_user, scope, role).is_some_and(|asked| self.roles.contains(&asked))
    }
}

/// None outside of any group.
pub(super) fn role_of(team: &str, slack_user: &str, scope: &Scope, role: i32) -> Option<Asked> {
    Some(Asked {
        team: team.to_owned(),
        user: slack_user.to_owned(),
        namespace: scope.groups.first().copied()?,
        project: scope.project,
        role,
    })
}

fn mention(chosen: &Chosen, is_own: bool) -> Mention {
    match (chosen.mentions, is_own, chosen.quiet_for) {
        (false, ..) => Mention::Off,
        (true, true, _) => Mention::OwnAction,
        (true, false, Some(_)) => Mention::QuietHours,
        (true, false, None) => Mention::Mentioned,
    }
}

/// Slack's user group of the group that is mentioned; paths are compared like the application compares them.
pub(crate) fn user_group<'a>(people: &People, settings: &'a Settings) -> Option<&'a str> {
    let path = people.group.as_deref()?;
    let mut groups = settings.user_groups.iter();
    let found = groups.find(|(group, _)| group.eq_ignore_ascii_case(path));
    found.map(|(_, id)| id.as_str())
}
