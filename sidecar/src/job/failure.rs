//! Why a job failed, as stored with it.

use std::io;

use tokio::task::JoinError;

use crate::error::Error;
use crate::slack::CallError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("the arguments of the job are not {0}")]
    Arguments(&'static str),

    #[error("{}", .0.report())]
    Database(#[from] Error),

    #[error("irkerd at {address}: {source}")]
    Irkerd { address: String, source: io::Error },

    /// A Slack API error, by Slack's code.
    #[error("Slack: {0}")]
    Slack(String),

    /// Slack did not do what was asked.
    #[error("Slack: {0}")]
    Call(#[from] CallError),

    #[error("no worker of that name")]
    NoWorker,

    #[error("panicked: {0}")]
    Panicked(String),
}

impl Failure {
    /// What kind of failure it is, for dashboards.
    pub(super) fn class(&self) -> &'static str {
        match self {
            Self::Arguments(_) => "ArgumentError",
            Self::Database(_) => "DatabaseError",
            Self::Irkerd { .. } => "IrkerdError",
            Self::Slack(_) | Self::Call(_) => "SlackError",
            Self::NoWorker => "NoWorkerError",
            Self::Panicked(_) => "Panic",
        }
    }

    /// Whether it belongs to an outage, which is logged once for all that it fails.
    pub(super) fn is_outage(&self) -> bool {
        match self {
            Self::Database(error) => error.is_outage(),
            Self::Call(error) => error.is_outage(),
            _ => false,
        }
    }

    /// A task that ended without a result.
    pub(super) fn of_task(error: JoinError) -> Self {
        let Ok(panic) = error.try_into_panic() else {
            return Self::Panicked("the job was aborted".to_owned());
        };
        let text = match panic.downcast::<String>() {
            Ok(text) => *text,
            Err(panic) => match panic.downcast::<&str>() {
                Ok(text) => (*text).to_owned(),
                Err(_) => "without a message".to_owned(),
            },
        };
        Self::Panicked(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Failure;
    use tokio::task::JoinSet;

    #[tokio::test]
    async fn a_panic_is_a_failure_of_the_job_with_its_text() {
        let mut running: JoinSet<Result<(), Failure>> = JoinSet::new();
        running.spawn(async { unreachable!("at job {}", 7) });
        running.spawn(async { std::panic::resume_unwind(Box::new(7)) });
        let mut texts = Vec::new();
        while let Some(joined) = running.join_next_with_id().await {
            texts.extend(
                joined
                    .err()
                    .map(|error| Failure::of_task(error).to_string()),
            );
        }
        texts.sort();
        assert_eq!(
            texts,
            [
                "panicked: internal error: entered unreachable code: at job 7",
                "panicked: without a message"
            ]
        );
    }
}
