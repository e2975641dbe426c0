//! Answers that may take longer than Slack waits: Slack first gets a preliminary answer in time, and the real one later through
//! the response URL.

mod worker;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;
use tracing::warn;

use crate::database::SlackDatabase;
use crate::http::{Counter, count, for_request};
use crate::interrupt::Finishing;
use crate::slack::{CallError, Reply, SlackClient, insist};
use worker::LONGEST;

pub(crate) use worker::ReplyWorkers;

/// What is needed to answer after a request has ended.
pub(crate) struct Late {
    pub(crate) database: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) finishing: Finishing,
}

/// Slack waits for three seconds, including the network.
const IN_TIME: Duration = Duration::from_millis(2_000);

/// How long an answer takes to reach the channel through Slack, so that later ones arrive after it.
const AFTER_FIRST: Duration = Duration::from_millis(400);

/// A response URL is valid for five answers within half an hour.
const USES: usize = 5;

/// How long leaving a reply to others may take.
const LEAVING: Duration = Duration::from_millis(900);

/// Nobody waits longer for an answer.
const LATEST: Duration = Duration::from_secs(20);

pub(crate) async fn in_time(
    late: &Arc<Late>,
    response_url: Option<String>,
    asking: impl Future<Output = Reply> + Send + 'static,
) -> Reply {
    let mut asking = Box::pin(unless_it_panics(asking, bug));
    if let Ok(reply) = timeout(IN_TIME, &mut asking).await {
        return reply;
    }
    let Some(url) = response_url else {
        return too_slow();
    };
    let task = {
        let late = Arc::clone(late);
        async move {
            let reply = tokio::select! {
                asked = timeout(LATEST, asking) => asked.unwrap_or_else(|_| too_slow()),
                () = late.finishing.over.cancelled() => stopped(),
            };
            late.send_one(Some(&url), &reply.json()).await;
        }
    };
    late.finishing.tasks.spawn(for_request(task));
    takes_longer()
}

/// Sends an answer of several messages to a user; the work continues even if nobody waits for it.
pub(crate) async fn all_in_time(
    late: &Arc<Late>,
    response_url: Option<String>,
    working: impl Future<Output = Vec<Reply>> + Send + 'static,
) -> Reply {
    let working = unless_it_panics(working, || vec![bug()]);
    let (hand_over, mut handed_over) = oneshot::channel();
    let task = {
        let late = Arc::clone(late);
        async move {
            let replies = tokio::select! {
                replies = working => replies,
                () = late.finishing.over.cancelled() => vec![stopped()],
            };
            let mut replies = replies.into_iter();
            let first = replies.next();
            let is_in_time = first.map(|first| hand_over.send(first));
            let too_late = match is_in_time {
                Some(Err(first)) => Some(first),
                _ => None,
            };
            if too_late.is_none() && replies.len() > 0 {
                // The first one is on its way.
                sleep(AFTER_FIRST).await;
            }
            let replies: Vec<Reply> = too_late.into_iter().chain(replies).collect();
            let mut spare = USES.saturating_sub(replies.len());
            for reply in replies {
                late.send(response_url.as_deref(), &reply.json(), &mut spare)
                    .await;
            }
        }
    };
    late.finishing.tasks.spawn(for_request(task));
    if let Ok(Ok(reply)) = timeout(IN_TIME, &mut handed_over).await {
        return reply;
    }
    handed_over.close();
    // It may have arrived this very moment.
    handed_over.try_recv().unwrap_or_else(|_| takes_longer())
}

/// Sends an answer to a click, in place of the message with the button. Slack shows nobody the response to the click itself.
pub(crate) fn in_place(
    late: &Arc<Late>,
    response_url: Option<String>,
    working: impl Future<Output = Vec<Reply>> + Send + 'static,
) {
    let working = unless_it_panics(working, || vec![bug()]);
    let task = {
        let late = Arc::clone(late);
        async move {
            let url = response_url.as_deref();
            // The work does not wait for Slack: what was clicked is not done minutes later, when somebody may have done something else.
            let remove_button = async {
                if let Some(url) = url {
                    let _ = late
                        .slack
                        .reply(url, &json!({ "delete_original": true }))
                        .await;
                }
            };
            let work = async {
                tokio::select! {
                    replies = working => replies,
                    () = late.finishing.over.cancelled() => vec![stopped()],
                }
            };
            let ((), replies) = tokio::join!(remove_button, work);
            let mut spare = USES.saturating_sub(replies.len() + 1);
            for reply in replies {
                late.send(url, &reply.json(), &mut spare).await;
            }
        }
    };
    late.finishing.tasks.spawn(for_request(task));
}

impl Late {
    /// Sends the only late answer.
    pub(crate) async fn send_one(&self, url: Option<&str>, message: &Value) {
        self.send(url, message, &mut USES.saturating_sub(1)).await;
    }

    /// Sends one message, retrying if Slack does not accept it. `spare` is how often the URL may be used beyond the remaining
    /// messages: an attempt that may have arrived counts.
    async fn send(&self, url: Option<&str>, message: &Value, spare: &mut usize) {
        let Some(url) = url else {
            count(Counter::LATE, "failed");
            return;
        };
        let may_repeat = |error: &CallError| {
            let may_have_arrived = matches!(error, CallError::Unanswered(_) | CallError::Garbled);
            match (may_have_arrived, *spare) {
                (false, _) => true,
                (true, 0) => false,
                (true, _) => {
                    *spare -= 1;
                    true
                }
            }
        };
        let Finishing { stop, over, .. } = &self.finishing;
        let sending = insist(LONGEST, stop, may_repeat, || self.slack.reply(url, message));
        let sent = tokio::select! {
            sent = sending => sent,
            () = over.cancelled() => Err(CallError::Unanswered("no time was left".to_owned())),
        };
        match sent {
            Ok(()) => count(Counter::LATE, "sent"),
            Err(error) if stop.is_cancelled() && error.is_transient() => {
                match timeout(LEAVING, worker::leave(&self.database, url, message)).await {
                    Ok(Ok(())) => count(Counter::LATE, "left"),
                    _ => {
                        count(Counter::LATE, "failed");
                        warn!(%error, "a late reply is lost");
                    }
                }
            }
            Err(error) => {
                count(Counter::LATE, "failed");
                warn!(%error, "a late reply did not arrive");
            }
        }
    }
}

/// A bug must not leave a user without an answer.
async fn unless_it_panics<T: Send + 'static>(
    working: impl Future<Output = T> + Send + 'static,
    otherwise: impl FnOnce() -> T,
) -> T {
    let working = AbortOnDropHandle::new(tokio::spawn(for_request(working)));
    working.await.unwrap_or_else(|_| otherwise())
}

fn takes_longer() -> Reply {
    Reply::new(":hourglass_flowing_sand: The answer takes a moment longer.")
}

fn too_slow() -> Reply {
    Reply::failed(
        ":warning: The database is too slow now. Nothing was changed; try again in a moment.",
    )
}

fn bug() -> Reply {
    Reply::failed(
        ":warning: The request failed. What it was to do may be done or not: look before you try again.",
    )
}

fn stopped() -> Reply {
    Reply::failed(
        ":warning: The program was stopped before the answer was there. What the command was to change may be done or not: look, or give it again.",
    )
}

#[cfg(test)]
mod tests {
    use super::unless_it_panics;

    #[tokio::test]
    async fn a_bug_is_answered() {
        let failing = async { unreachable!("a bug") };
        assert_eq!(unless_it_panics(failing, || "an answer").await, "an answer");
        assert_eq!(unless_it_panics(async { "it" }, || "another").await, "it");
    }
}
