//! Slack requests that belong to GitLab are passed on: through a sidecar, between a fake Slack and a stand-in for GitLab.

mod check;
mod command;
mod fault;
mod loop_guard;
mod modal;
mod path;
mod request;
mod slow;
mod trace;
mod unavailable;

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::GitLab;
use lockstep_tests::http::{FORM, Reply};
use lockstep_tests::slack::App;
use lockstep_tests::slack::caller::Origin;
use serde_json::Value;

use crate::concurrency::PATIENCE;
use crate::slack_app::{COMMANDS, Stage};

/// A stage with a GitLab behind the sidecar, which knows project 1 and Ada.
struct Scene {
    stage: Stage,
    gitlab: GitLab,
    team: String,
    ada: String,
    channel: String,
}

impl Scene {
    fn set(name: &str) -> Result<Self> {
        Self::set_with(name, &[])
    }

    fn set_with(name: &str, arguments: &[&str]) -> Result<Self> {
        let gitlab = GitLab::start(App::default())?;
        let url = format!("--gitlab-url={}", gitlab.base_url());
        Self::with_gitlab(name, gitlab, &[&[&*url], arguments].concat())
    }

    fn with_gitlab(name: &str, gitlab: GitLab, arguments: &[&str]) -> Result<Self> {
        let mut stage = Stage::set_with(name, App::default(), arguments)?;
        let team = stage.slack.create_workspace("Acme").id;
        let ada = stage.slack.create_user(&team, "ada").id;
        let channel = stage.slack.create_channel(&team, "general").id;
        stage.connect(1)?;
        gitlab.connect(&team, "group/one", "group/one");
        gitlab.link(&team, &ada, "ada");
        stage.caller = stage.caller.with_patience(PATIENCE);
        // Startup requests are of no interest to the tests.
        stage
            .sidecar
            .wait_for_log("GitLab")
            .context("nothing was said of GitLab")?;
        gitlab.forget();
        Ok(Self {
            stage,
            gitlab,
            team,
            ada,
            channel,
        })
    }

    fn origin(&self) -> Origin {
        let slack = &self.stage.slack;
        Origin {
            team_id: Some(self.team.clone()),
            user_id: self.ada.clone(),
            channel_id: self.channel.clone(),
            trigger_id: slack.trigger(&self.team),
            response_url: slack.response_url(&self.team, &self.channel, &self.ada),
            ..Origin::default()
        }
    }

    /// Gives a command; returns the response.
    fn give(&self, text: &str) -> Result<Reply> {
        let body = self
            .stage
            .caller
            .command_body(&self.origin(), "/gitlab", text);
        self.stage.caller.post(COMMANDS, FORM, body.as_bytes())
    }

    /// The ephemeral answer to a command, immediate or late.
    fn told(&self, text: &str) -> Result<String> {
        let answer = self.answer(text)?;
        ensure!(answer["response_type"] == "ephemeral", "{answer}");
        Ok(answer["text"].as_str().unwrap_or_default().to_owned())
    }

    /// The immediate ephemeral answer to a command.
    fn told_at_once(&self, text: &str) -> Result<String> {
        self.stage.say(&self.origin(), text)
    }

    /// The answer to a command, immediate or late: one message, whichever way it came.
    fn answer(&self, text: &str) -> Result<Value> {
        let before = self.stage.slack.messages(&self.channel).len();
        let reply = self.give(text)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let said = reply.json()?;
        if !said["text"]
            .as_str()
            .is_some_and(|text| text.starts_with(":hourglass_flowing_sand:"))
        {
            return Ok(said);
        }
        self.late(before + 1)
    }

    /// The last of this many messages in the channel, which came late.
    fn late(&self, messages: usize) -> Result<Value> {
        let slack = &self.stage.slack;
        ensure!(
            slack.wait_for_messages_in(&self.channel, messages, PATIENCE),
            "nothing came\n{}",
            self.stage.sidecar.log()
        );
        let all = slack.messages(&self.channel);
        ensure!(all.len() == messages, "{all:?}");
        Ok(all.last().context("no message")?.sent.clone())
    }

    /// How often a pass-through had this outcome.
    fn counted(&self, outcome: &str) -> Result<f64> {
        let label = format!("outcome=\"{outcome}\"");
        self.stage
            .sidecar
            .metric(&["lockstep_gitlab_passed_on_total", &label])
    }
}

/// An address where nobody listens.
fn nowhere() -> Result<String> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    Ok(format!("http://{address}"))
}
