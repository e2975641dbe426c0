//! Sends one message, from the event to Slack's response.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::answer::{self, Verdict};
use super::state::Delivering;
use crate::database::{Delivery, Outcome, Sent, Updates};
use crate::notification::message::{Message, moment, render};
use crate::slack::CallError;

/// Slack accepts one message per second in a channel.
const SPACING: Duration = Duration::from_millis(1_050);

/// Sends a message; also returns when the last request began, if there was one.
pub(super) async fn send(app: &Delivering, delivery: &Delivery) -> (Outcome, Option<Instant>) {
    let Some(sealed) = &delivery.token else {
        return (failed("not_installed"), None);
    };
    let Ok((token, _)) = app.token_keys.open(sealed) else {
        warn!(
            delivery = delivery.id,
            team = delivery.team,
            "the token keys do not decrypt its token"
        );
        app.unreadable.notify_one();
        return (unreadable(delivery.failures), None);
    };
    let Some(event) = &delivery.event else {
        return (failed("unreadable_event"), None);
    };
    let moment = moment(event);
    if is_superseded(delivery, moment) {
        return (Outcome::Superseded, None);
    }
    let message = render(event).mentioning(&delivery.mentions);
    let (method, arguments) = request(delivery, &message);
    let mut is_plain = false;
    let mut post = async |method: &'static str, mut arguments: Value| {
        if is_plain {
            arguments = plain(arguments, &message);
        }
        let mut begun = Instant::now();
        let mut answered = app.slack.call(method, &token, &arguments).await;
        if answered.as_ref().is_err_and(answer::is_too_much) && !is_plain {
            // Without its blocks the text says the same, less well.
            debug!(delivery = delivery.id, "sent as plain text");
            is_plain = true;
            sleep(SPACING.saturating_sub(begun.elapsed())).await;
            begun = Instant::now();
            let plain = plain(arguments, &message);
            answered = app.slack.call(method, &token, &plain).await;
        }
        (begun, answered)
    };
    let (mut begun, answered) = post(method, arguments).await;
    let is_sent = answered.is_ok();
    let mut outcome = outcome(delivery, method, moment, answered);
    if let Some(reply) = notice(delivery, method, &message)
        && is_sent
    {
        let (replied, answered) = post("chat.postMessage", reply).await;
        begun = replied;
        outcome = match self::outcome(delivery, method, moment, answered) {
            // The message itself shows the event.
            Outcome::Failed { error, .. } => {
                info!(
                    delivery = delivery.id,
                    error, "nobody was notified of a change"
                );
                outcome
            }
            replied => replied,
        };
    }
    if let Outcome::Failed { error, .. } = &outcome {
        let Delivery {
            id, team, channel, ..
        } = delivery;
        info!(
            delivery = id,
            team, channel, error, "a channel was not notified"
        );
    }
    (outcome, Some(begun))
}

/// Another process may have the key.
fn unreadable(failures: i32) -> Outcome {
    let error = "token_unreadable";
    match answer::unreadable(failures) {
        Verdict::Again(wait) => Outcome::Retry {
            error: error.to_owned(),
            wait,
        },
        _ => failed(error),
    }
}

/// An error that no request will change.
fn failed(error: &str) -> Outcome {
    Outcome::Failed {
        error: error.to_owned(),
        needed: None,
    }
}

/// Whether the message to update already shows something newer: a late event must not overwrite it.
fn is_superseded(delivery: &Delivery, moment: Option<i64>) -> bool {
    let shown = delivery.earlier.as_ref().and_then(|it| it.moment);
    let newest = shown.zip(moment);
    delivery.updates == Updates::Update && newest.is_some_and(|(shown, moment)| moment < shown)
}

/// The outcome of a task that did not finish.
pub(super) fn broken_off(failures: i32) -> Outcome {
    match answer::unknown(failures) {
        Verdict::Unknown(wait) => Outcome::Uncertain {
            error: "broke_off".to_owned(),
            wait,
        },
        _ => failed("broke_off"),
    }
}

/// The method and its arguments: a new message, an update, or a reply in a thread.
fn request(delivery: &Delivery, message: &Message) -> (&'static str, Value) {
    match (delivery.updates, &delivery.earlier) {
        (Updates::Update, Some(earlier)) => {
            let arguments = message.replacement(&earlier.channel, &earlier.ts);
            ("chat.update", arguments)
        }
        (Updates::Thread, Some(earlier)) => ("chat.postMessage", reply(earlier, message)),
        _ => ("chat.postMessage", message.arguments(&delivery.channel)),
    }
}

fn reply(earlier: &Sent, message: &Message) -> Value {
    let mut arguments = message.arguments(&earlier.channel);
    arguments["thread_ts"] = json!(earlier.ts);
    arguments
}

/// Slack notifies nobody of a change: whoever an updated message is for gets a reply in its thread.
fn notice(delivery: &Delivery, method: &str, message: &Message) -> Option<Value> {
    let earlier = delivery.earlier.as_ref()?;
    let is_due = method == "chat.update" && !message.mentions.is_empty();
    is_due.then(|| reply(earlier, message))
}

fn plain(mut arguments: Value, message: &Message) -> Value {
    let text = format!("{} {}", message.mentions, message.text);
    arguments["text"] = json!(text.trim_start());
    for part in ["blocks", "attachments"] {
        // An empty list removes what the updated message had.
        arguments[part] = json!([]);
    }
    arguments
}

fn outcome(
    delivery: &Delivery,
    method: &str,
    moment: Option<i64>,
    answered: Result<Value, CallError>,
) -> Outcome {
    match answered {
        Ok(answer) => delivered(delivery, method, moment, &answer),
        Err(error) => match answer::verdict(&error, delivery.failures) {
            Verdict::Wait(wait) => Outcome::RateLimited { wait },
            Verdict::Again(wait) => Outcome::Retry {
                error: answer::name(&error).0,
                wait,
            },
            Verdict::Unknown(wait) => Outcome::Uncertain {
                error: answer::name(&error).0,
                wait,
            },
            Verdict::MessageGone | Verdict::ChannelGone if delivery.earlier.is_some() => {
                Outcome::LostMessage
            }
            Verdict::MessageGone | Verdict::ChannelGone | Verdict::Never => {
                let (error, needed) = answer::name(&error);
                Outcome::Failed { error, needed }
            }
        },
    }
}

/// If later events update or answer the message, the first message's id is stored.
fn delivered(delivery: &Delivery, method: &str, moment: Option<i64>, answer: &Value) -> Outcome {
    let is_first = method == "chat.postMessage" && delivery.earlier.is_none();
    let is_kept = is_first && delivery.updates != Updates::Separate;
    let text = |name: &str| answer[name].as_str().map(str::to_owned);
    Outcome::Delivered {
        // An update or reply used the channel's id.
        channel: text("channel").filter(|_| delivery.earlier.is_none()),
        ts: text("ts").filter(|_| is_kept),
        moment,
    }
}
