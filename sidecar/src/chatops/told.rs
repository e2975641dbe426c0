//! Who is told of what was done.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tokio::time::timeout;
use tracing::warn;

use super::arguments;
use super::environment::Name;
use super::given::Given;
use super::outcome::Outcome;
use super::page::Answer;
use super::settings::Place;
use super::state::App;
use crate::slack::Tenant;
use crate::slack::{CallError, Owner, advice, code, insist, shorten};

/// As long as this the answer waits for the team to be told.
const PATIENCE: Duration = Duration::from_secs(15);

/// As long as this it is tried; a program that ends before gives up.
const LONGEST: Duration = Duration::from_secs(600);

/// Who did what.
pub(super) fn headline(given: &Given<'_>) -> String {
    format!("{}: {}", given.user(), command(given))
}

pub(super) fn command(given: &Given<'_>) -> String {
    let typed = arguments::typed(given.slash.text.trim());
    code(&shorten(&format!("{} {typed}", given.slash.command), 300))
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
    let Some(channel) = given.app.settings.team_channels.get(group) else {
        return format!(
            "No channel is known of {}, so no other was told.",
            code(group)
        );
    };
    if *channel == given.place() {
        return format!("This is the channel of {}.", code(group));
    }
    // Of a channel of another workspace Slack shows nothing here.
    let named = match channel.team == given.slash.owner.team {
        true => format!("<#{}>", channel.id),
        false => code(&channel.id),
    };
    let posting = given.app.late.spawn(post(
        Arc::clone(given.app),
        given.slash.owner.clone(),
        channel.clone(),
        text.to_owned(),
    ));
    match timeout(PATIENCE, posting).await {
        Ok(Ok(Ok(()))) => format!("{named} was told, the channel of {}.", code(group)),
        Ok(Ok(Err(error))) => format!(
            ":warning: {named}, the channel of {}, could not be told: {}.",
            code(group),
            advice(&error, None)
        ),
        _ => format!(
            ":warning: {named}, the channel of {}, could not be told as yet; it is tried for some minutes.",
            code(group)
        ),
    }
}

/// Posts in a channel, again and again if Slack does not take it.
async fn post(app: Arc<App>, owner: Owner, channel: Place, text: String) -> Result<(), String> {
    let told = try_post(&app, &owner, &channel, &text).await;
    if let Err(error) = &told {
        warn!(channel = channel.id, error, "a team is not told");
    }
    told
}

async fn try_post(app: &App, owner: &Owner, channel: &Place, text: &str) -> Result<(), String> {
    let tenant = match channel.team == owner.team {
        true => owner.tenant(),
        false => Tenant {
            team: &channel.team,
            enterprise: None,
        },
    };
    let bot = app.for_jobs.bot(tenant).await.map_err(|error| {
        warn!(error = %error.report(), "no token");
        "the database does not answer".to_owned()
    })?;
    let bot = bot.ok_or("not_installed")?;
    if bot.expires_at.is_some_and(|at| at <= SystemTime::now()) {
        return Err("token_expired".to_owned());
    }
    let opened = app.token_keys.open(&bot.token);
    let (token, _) = opened.map_err(|_| "token_unreadable")?;
    let arguments = json!({ "channel": channel.id, "text": text, "unfurl_links": false });
    // What may have arrived is not sent again: a channel is not to hear twice of one change.
    let is_lost =
        |error: &CallError| !matches!(error, CallError::Unanswered(_) | CallError::Garbled);
    let posting = || app.slack.call("chat.postMessage", &token, &arguments);
    let posted = insist(LONGEST, is_lost, posting).await;
    posted.map(|_| ()).map_err(name_of)
}

fn name_of(error: CallError) -> String {
    match error {
        CallError::Refused { name, .. } => name,
        other => other.to_string(),
    }
}

/// What became of a change that is no flag's, a line an environment; `look` is the command that shows what it changes.
pub(super) fn changes(
    given: &Given<'_>,
    outcomes: Vec<(Name, Outcome)>,
    look: &str,
    said: impl Fn(Name, &Value) -> String,
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
                format!("• {}: {}", environment.text(), said(*environment, result))
            }
            Outcome::Repeated(result) => {
                let said = said(*environment, result);
                format!("• {}: done before: {said}", environment.text())
            }
            outcome => {
                let look = format!("/chatops run {look} --{}", environment.text());
                outcome.trouble(*environment, &look).unwrap_or_default()
            }
        });
    }
    match is_changed {
        true => answer.publish(),
        false => answer,
    }
}
