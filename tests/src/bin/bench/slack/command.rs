//! The commands that are sent, and the expected responses.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::FORM;
use lockstep_tests::slack::Caller;
use lockstep_tests::slack::caller::Origin;
use serde_json::json;

use super::contender::{COMMAND, PATH};
use super::load::Requests;

/// What a user of a workspace types after the slash command.
#[derive(Clone)]
pub(super) struct Typed {
    pub(super) text: String,
    /// What the answer must contain.
    pub(super) expected: &'static str,
}

/// The workspace.
pub(super) const TEAM: &str = "T0BENCH";
pub(super) const USER: &str = "U0BENCH01";

fn origin() -> Origin {
    Origin {
        team_id: Some(TEAM.to_owned()),
        team_domain: "example".to_owned(),
        channel_id: "C0BENCH01".to_owned(),
        channel_name: "development".to_owned(),
        user_id: USER.to_owned(),
        user_name: "somebody".to_owned(),
        response_url: "https://hooks.slack.example/commands/T0BENCH/1234567890/abcdefghijkl"
            .to_owned(),
        ..Origin::default()
    }
}

impl Typed {
    /// Checks that a server responds correctly, and only to Slack; returns the text.
    pub(super) fn check(&self, caller: &Caller) -> Result<String> {
        let reply = caller.command(PATH, &origin(), COMMAND, &self.text)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        let answer = reply.json()?;
        let text = answer["text"].as_str().unwrap_or_default();
        ensure!(
            text.contains(self.expected)
                && answer == json!({ "response_type": "ephemeral", "text": text }),
            "to {}: {answer}",
            self.text
        );
        let forged = caller.clone().with_signing_secret("another");
        let reply = forged.command(PATH, &origin(), COMMAND, &self.text)?;
        ensure!(reply.status == 401, "to a forged command: {}", reply.status);
        Ok(text.to_owned())
    }

    /// The server's response.
    pub(super) fn answer(&self, caller: &Caller) -> Result<String> {
        let reply = caller.command(PATH, &origin(), COMMAND, &self.text)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(reply.text())
    }

    /// The requests, each signed when it is sent.
    pub(super) fn requests(&self, caller: &Caller) -> Requests {
        let (typed, caller) = (self.clone(), caller.clone());
        Arc::new(move || typed.request(&caller))
    }

    fn request(&self, caller: &Caller) -> Result<Vec<u8>> {
        let url = caller.url(PATH);
        let host = url
            .strip_prefix("http://")
            .and_then(|rest| rest.split('/').next());
        let host = host.context("no host")?;
        let body = caller.command_body(&origin(), COMMAND, &self.text);
        // As Slack sends them.
        let mut head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Slackbot 1.0 (+https://api.slack.com/robots)\r\n\
             Accept-Encoding: gzip,deflate\r\nAccept: application/json,*/*\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n",
            body.len()
        );
        for (name, value) in caller.signature_headers(body.as_bytes()) {
            head += &format!("{name}: {value}\r\n");
        }
        Ok(format!("{head}\r\n{body}").into_bytes())
    }
}
