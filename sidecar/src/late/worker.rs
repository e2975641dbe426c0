//! Replies that were not sent before the program stopped.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tracing::warn;

use crate::database::{Job, SlackDatabase};
use crate::error::Error;
use crate::http::{Counter, count};
use crate::job::{Failure, Performing, Workers};
use crate::slack::SlackClient;

/// Nobody reads an answer that comes later than this.
pub(super) const LONGEST: Duration = Duration::from_secs(600);

const REPLY: &str = "Slack::ReplyWorker";

pub(crate) struct ReplyWorkers {
    pub(crate) slack: SlackClient,
}

impl Workers for ReplyWorkers {
    fn names(&self) -> Vec<&'static str> {
        vec![REPLY]
    }

    fn perform<'a>(&'a self, job: &'a Job) -> Performing<'a> {
        Box::pin(self.reply(&job.args))
    }
}

/// Leaves it to any process that runs jobs.
pub(super) async fn leave(
    database: &SlackDatabase,
    url: &str,
    message: &Value,
) -> Result<(), Error> {
    let args = json!({ "url": url, "message": message, "until": now() + LONGEST.as_secs() });
    database.enqueue(REPLY, &args, None).await.map(|_| ())
}

impl ReplyWorkers {
    async fn reply(&self, args: &Value) -> Result<(), Failure> {
        let url = args["url"].as_str();
        let until = args["until"].as_u64();
        let (Some(url), Some(until)) = (url, until) else {
            return Err(Failure::Arguments("{url, message, until}"));
        };
        // Nobody reads it any more.
        if until < now() {
            count(Counter::LATE, "failed");
            return Ok(());
        }
        match self.slack.reply(url, &args["message"]).await {
            Ok(()) => count(Counter::LATE, "sent"),
            Err(error) if error.is_transient() => return Err(error.into()),
            Err(error) => {
                count(Counter::LATE, "failed");
                warn!(%error, "a late reply did not arrive");
            }
        }
        Ok(())
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
