//! A command: who gave it, where, and what is recorded about that.

use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use super::arguments::Environments;
use super::environment::{Environment, Name};
use super::page::Answer;
use super::settings::Place;
use super::state::App;
use crate::slack::{SlashCommand, code, shorten, unescape};

pub(super) struct Given<'a> {
    pub(super) app: &'a Arc<App>,
    pub(super) slash: &'a SlashCommand,
    /// Slack's id of the command.
    trigger: String,
    /// Our id of this delivery.
    request: String,
}

impl<'a> Given<'a> {
    pub(super) fn new(app: &'a Arc<App>, slash: &'a SlashCommand) -> Self {
        let request = random();
        let trigger = slash.trigger.clone().filter(|trigger| !trigger.is_empty());
        Self {
            app,
            slash,
            trigger: trigger.unwrap_or_else(|| request.clone()),
            request,
        }
    }

    /// As recorded in the database.
    pub(super) fn record(&self, environment: Name) -> Value {
        json!({
            "trigger_id": self.trigger,
            "request": self.request,
            "team_id": self.slash.owner.team,
            "user_id": self.slash.user,
            "user_name": self.slash.user_name,
            "channel_id": self.slash.channel,
            "text": shorten(&format!("{} {}", self.slash.command, unescape(self.slash.text.trim())), 4_000),
            "environment": environment.text(),
        })
    }

    /// The user, as a Slack mention.
    pub(super) fn user(&self) -> String {
        format!("<@{}>", self.slash.user)
    }

    /// The user in their workspace.
    pub(super) fn giver(&self) -> Place {
        self.place_of(&self.slash.user)
    }

    /// The channel in which it was given.
    pub(super) fn place(&self) -> Place {
        self.place_of(&self.slash.channel)
    }

    fn place_of(&self, id: &str) -> Place {
        Place {
            team: self.slash.owner.team.clone(),
            id: id.to_owned(),
        }
    }

    /// The named environments, otherwise production. One that is not configured is an error.
    pub(super) fn environments(&self, named: Environments) -> Result<Vec<Environment>, Answer> {
        let names = named.named();
        let names = match names.is_empty() {
            true => vec![Name::Production],
            false => names,
        };
        let find = |name: &Name| {
            let found = self.app.environments.get(*name).cloned();
            found.ok_or_else(|| self.not_configured(*name))
        };
        names.iter().map(find).collect()
    }

    fn not_configured(&self, name: Name) -> Answer {
        let known = self.app.environments.all().iter();
        let known: Vec<String> = known
            .map(|it| code(&format!("--{}", it.name.text())))
            .collect();
        Answer::text(format!(
            ":x: The environment {} is not configured, so nothing was done. Configured: {}.",
            code(name.text()),
            known.join(", ")
        ))
    }
}

/// A unique number.
fn random() -> String {
    let mut bytes = [0; 16];
    // Without a source of randomness nothing else in this program would work.
    let _ = SystemRandom::new().fill(&mut bytes);
    hex::encode(bytes)
}
