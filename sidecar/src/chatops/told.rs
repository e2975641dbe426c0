//! Who is told of what was done.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::environment::Name;
use super::given::Given;
use super::outcome::Outcome;
use super::page::Answer;
use crate::slack::{CallError, advice, code, shorten};

/// As long as this the answer waits for the team to be told.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(2);

/// Who did what.
pub(super) fn headline(given: &Given<'_>) -> String {
    format!("{}: {}", given.user(), command(given))
}

pub(super) fn command(given: &Given<'_>) -> String {
    let text = format!("{} {}", given.slash.command, given.slash.text.trim());
    code(&shorten(&text, 300))
}

/// What is said if all of it was done by an earlier delivery of the command.
pub(super) fn repeated(outcomes: &[(Name, Outcome)]) -> Option<Answer> {
    let is_repeated = |(_, outcome): &(Name, Outcome)| matches!(outcome, Outcome::Repeated(_));
    outcomes.iter().all(is_repeated).then(|| {
        Answer::text(
            "Slack delivered this command twice. It was done the first time, and nothing was done now.",
        )
    })
}

/// Tells the channel of the group that answers for a flag; what the channel of the command is told of that.
pub(super) async fn team(given: &Given<'_>, group: Option<&str>, text: &str) -> String {
    let Some(group) = group else {
        return "No group answers for the flag, so no other channel was told: `lockstep.define_feature` names one.".to_owned();
    };
    let Some(channel) = given.app.config.chatops.team_channels.get(group) else {
        return format!(
            "No channel is known of {}, so no other was told.",
            code(group)
        );
    };
    if *channel == given.slash.channel {
        return format!("This is the channel of {}.", code(group));
    }
    match post(given, channel, text).await {
        Ok(()) => format!("<#{channel}> was told, the channel of {}.", code(group)),
        Err(error) => {
            warn!(channel, error, "a team is not told");
            format!(
                ":warning: <#{channel}>, the channel of {}, could not be told: {}.",
                code(group),
                advice(&error, None)
            )
        }
    }
}

async fn post(given: &Given<'_>, channel: &str, text: &str) -> Result<(), String> {
    let app = given.app;
    let bot = app.for_jobs.bot(given.slash.owner.tenant()).await;
    let bot = bot.map_err(|error| {
        warn!(error = %error.report(), "no token");
        "the database does not answer".to_owned()
    })?;
    let bot = bot.ok_or("not_installed")?;
    if bot.expires_at.is_some_and(|at| at <= SystemTime::now()) {
        return Err("token_expired".to_owned());
    }
    let opened = app.config.token_keys.open(&bot.token);
    let (token, _) = opened.map_err(|_| "token_unreadable")?;
    let arguments = json!({ "channel": channel, "text": text, "unfurl_links": false });
    let until = Instant::now() + PATIENCE;
    loop {
        let error = match app.slack.call("chat.postMessage", &token, &arguments).await {
            Ok(_) => return Ok(()),
            Err(error) => error,
        };
        // A channel takes one message a second. What may have arrived is not sent again.
        let pause = match &error {
            CallError::RateLimited(pause) => *pause,
            CallError::Unreachable(_) => PAUSE,
            error
                if error.is_transient()
                    && !matches!(error, CallError::Unanswered(_) | CallError::Garbled) =>
            {
                PAUSE
            }
            _ => return Err(name_of(error)),
        };
        if Instant::now() + pause > until {
            return Err(name_of(error));
        }
        sleep(pause).await;
    }
}

fn name_of(error: CallError) -> String {
    match error {
        CallError::Refused { name, .. } => name,
        other => other.to_string(),
    }
}

/// What became of a change that is no flag's, a line an environment.
pub(super) fn changes(
    given: &Given<'_>,
    outcomes: Vec<(Name, Outcome)>,
    said: impl Fn(&Value) -> String,
) -> Answer {
    if let Some(answer) = repeated(&outcomes) {
        return answer;
    }
    let mut answer = Answer::text(headline(given));
    let mut is_changed = false;
    for (environment, outcome) in &outcomes {
        answer.say(match outcome {
            Outcome::Done(result) => {
                is_changed = true;
                format!("• {}: {}", environment.text(), said(result))
            }
            Outcome::Repeated(result) => {
                format!("• {}: done before: {}", environment.text(), said(result))
            }
            outcome => outcome.trouble(*environment).unwrap_or_default(),
        });
    }
    match is_changed {
        true => answer.publish(),
        false => answer,
    }
}
