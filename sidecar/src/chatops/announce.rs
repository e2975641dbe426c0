//! Notifications about what was done.

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
use crate::database::Job;
use crate::error::complain;
use crate::http::{for_request, note_failure};
use crate::interrupt::Finishing;
use crate::job::{Failure, Performing, Workers};
use crate::slack::{CallError, Owner, Tenant, advice, code, insist, shorten};

/// How long the answer waits for the team's notification.
const PATIENCE: Duration = Duration::from_secs(15);

/// How long sending is retried.
const LONGEST: Duration = Duration::from_secs(600);

/// How long it may take to leave it to others.
const LEAVING: Duration = Duration::from_millis(900);

/// Who did what.
pub(super) fn headline(given: &Given<'_>) -> String {
    format!("{}: {}", given.user(), command(given))
}

pub(super) fn command(given: &Given<'_>) -> String {
    let typed = arguments::typed(given.slash.text.trim());
    code(&shorten(&format!("{} {typed}", given.slash.command), 300))
}

/// The answer if everything was done by an earlier delivery of the command.
pub(super) fn repeated(outcomes: &[(Name, Outcome)]) -> Option<Answer> {
    let is_repeated = |(_, outcome): &(Name, Outcome)| matches!(outcome, Outcome::Repeated(_));
    outcomes.iter().all(is_repeated).then(|| {
        Answer::text("Slack delivered this command twice. It was already done the first time.")
    })
}

/// Notifies the channel of the group that owns the flag; returns what the command's channel is told about that.
pub(super) async fn team(given: &Given<'_>, group: Option<&str>, text: &str) -> String {
    let Some(group) = group else {
        return "No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.".to_owned();
    };
    let Some(channel) = given.app.settings.team_channels.get(group) else {
        return format!(
            "No channel is configured for {}, so no other was notified.",
            code(group)
        );
    };
    if *channel == given.place() {
        return format!("This is the channel of {}.", code(group));
    }
    // Slack shows nothing here about a channel in another workspace.
    let named = match channel.team == given.slash.owner.team {
        true => format!("<#{}>", channel.id),
        false => code(&channel.id),
    };
    let posting = post(
        Arc::clone(given.app),
        given.slash.owner.clone(),
        channel.clone(),
        text.to_owned(),
    );
    let posting = given.app.finishing.tasks.spawn(for_request(posting));
    match timeout(PATIENCE, posting).await {
        Ok(Ok(Ok(()))) => format!("{named}, the channel of {}, was notified.", code(group)),
        Ok(Ok(Err(error))) => {
            note_failure();
            format!(
                ":warning: {named}, the channel of {}, could not be notified: {}.",
                code(group),
                advice(&error, None)
            )
        }
        _ => format!(
            ":warning: {named}, the channel of {}, could not be notified yet; this is retried for some minutes.",
            code(group)
        ),
    }
}

/// Posts in a channel, retrying if Slack does not accept it; if the program stops first, others continue.
async fn post(app: Arc<App>, owner: Owner, channel: Place, text: String) -> Result<(), String> {
    let Finishing { stop, over, .. } = &app.finishing;
    let posting = insist(LONGEST, stop, is_lost, || {
        post_once(&app, &owner, &channel, &text)
    });
    let told = tokio::select! {
        told = posting => told,
        () = over.cancelled() => Err(CallError::Unanswered("no time was left".to_owned())),
    };
    let Err(error) = told else {
        return Ok(());
    };
    let mut is_left = false;
    if stop.is_cancelled() && error.is_transient() && is_lost(&error) {
        let args = json!({ "channel_team": channel.team, "channel": channel.id, "text": text });
        let args = owner.in_args(args);
        let leaving = app.for_jobs.enqueue(POST, &args, None);
        is_left = matches!(timeout(LEAVING, leaving).await, Ok(Ok(_)));
    }
    if !is_left {
        warn!(channel = channel.id, %error, "a team was not notified");
    }
    Err(name_of(error))
}

/// A message that may have arrived is not sent again: a channel must not get the same change twice.
fn is_lost(error: &CallError) -> bool {
    !matches!(error, CallError::Unanswered(_) | CallError::Garbled)
}

async fn post_once(app: &App, owner: &Owner, channel: &Place, text: &str) -> Result<(), CallError> {
    let tenant = match channel.team == owner.team {
        true => owner.tenant(),
        false => Tenant {
            team: &channel.team,
            enterprise: None,
        },
    };
    let refused = |name: &str| CallError::Refused {
        name: name.to_owned(),
        needed: None,
    };
    let bot = app.for_jobs.bot(tenant).await.map_err(|error| {
        complain!(error, "no token");
        CallError::Unreachable("the database does not respond".to_owned())
    })?;
    let bot = bot.ok_or(refused("not_installed"))?;
    if bot.expires_at.is_some_and(|at| at <= SystemTime::now()) {
        return Err(refused("token_expired"));
    }
    let opened = app.token_keys.open(&bot.token);
    let (token, _) = opened.map_err(|_| refused("token_unreadable"))?;
    let arguments = json!({ "channel": channel.id, "text": text, "unfurl_links": false });
    let posted = app.slack.call("chat.postMessage", &token, &arguments).await;
    posted.map(|_| ())
}

/// Notifications that were not sent before the program stopped.
const POST: &str = "Slack::TeamWorker";

pub(crate) struct TeamWorkers(pub(crate) Arc<App>);

impl Workers for TeamWorkers {
    fn names(&self) -> Vec<&'static str> {
        vec![POST]
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        Box::pin(self.tell(&job.args))
    }
}

impl TeamWorkers {
    async fn tell(&self, args: &Value) -> Result<(), Failure> {
        let text = |name: &str| args[name].as_str().map(str::to_owned);
        let place = text("channel_team").zip(text("channel"));
        let place = place.map(|(team, id)| Place { team, id });
        let (Some(owner), Some(place), Some(text)) = (Owner::of_args(args), place, text("text"))
        else {
            return Err(Failure::Arguments(
                "{team_id, enterprise_id, channel_team, channel, text}",
            ));
        };
        match post_once(&self.0, &owner, &place, &text).await {
            Err(error) if error.is_transient() && is_lost(&error) => Err(error.into()),
            Err(error) => {
                warn!(channel = place.id, %error, "a team was not notified");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

fn name_of(error: CallError) -> String {
    match error {
        CallError::Refused { name, .. } => name,
        other => other.to_string(),
    }
}

/// The result of a change that is not a flag's, one line per environment; `look` is the command that shows what it changes.
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
                format!("• {}: already done: {said}", environment.text())
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
