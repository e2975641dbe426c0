//! Events without a successful response are sent again.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::http::Reply;

use super::Caller;

/// How long Slack waits before each retry.
const PAUSES: [Duration; 3] = [
    Duration::ZERO,
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// Why an event is sent again, as in Slack's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    HttpTimeout,
    TooManyRedirects,
    ConnectionFailed,
    HttpError,
    UnknownError,
}

impl RetryReason {
    pub fn name(self) -> &'static str {
        match self {
            Self::HttpTimeout => "http_timeout",
            Self::TooManyRedirects => "too_many_redirects",
            Self::ConnectionFailed => "connection_failed",
            Self::HttpError => "http_error",
            Self::UnknownError => "unknown_error",
        }
    }
}

/// One attempt to deliver an event.
#[derive(Debug)]
pub struct Delivery {
    /// The response, if there was one.
    pub reply: Option<Reply>,
    /// None if the event was delivered.
    pub failure: Option<RetryReason>,
}

impl Caller {
    /// Delivers an event like Slack, up to four times: until the response is 2xx, or an error with x-slack-no-retry. `pause`
    /// receives how long Slack would wait before a retry and decides whether to wait.
    pub fn deliver(
        &self,
        path: &str,
        envelope: &Value,
        mut pause: impl FnMut(Duration),
    ) -> Vec<Delivery> {
        let mut deliveries = vec![self.deliver_once(path, envelope, None)];
        for (number, wait) in (1..).zip(PAUSES) {
            let Some(failure) = deliveries.last().and_then(|last| {
                let forbids = |reply: &Reply| reply.header("x-slack-no-retry") == Some("1");
                last.failure
                    .filter(|_| !last.reply.as_ref().is_some_and(forbids))
            }) else {
                break;
            };
            pause(wait);
            deliveries.push(self.deliver_once(path, envelope, Some((number, failure))));
        }
        deliveries
    }

    /// The retry of that number (1 to 3), by itself.
    pub fn retry(
        &self,
        path: &str,
        envelope: &Value,
        number: u32,
        reason: RetryReason,
    ) -> Result<Reply> {
        let delivery = self.deliver_once(path, envelope, Some((number, reason)));
        delivery
            .reply
            .ok_or_else(|| anyhow::anyhow!("not answered: {:?}", delivery.failure))
    }

    fn deliver_once(
        &self,
        path: &str,
        envelope: &Value,
        retry: Option<(u32, RetryReason)>,
    ) -> Delivery {
        let retry = retry.map(|(number, reason)| (number.to_string(), reason.name()));
        let mut headers = Vec::new();
        if let Some((number, reason)) = &retry {
            headers.push(("x-slack-retry-num", number.as_str()));
            headers.push(("x-slack-retry-reason", *reason));
        }
        let body = envelope.to_string();
        match self.try_post(path, "application/json", &headers, body.as_bytes()) {
            Ok(reply) => Delivery {
                failure: match reply.status {
                    200..=299 => None,
                    300..=399 => Some(RetryReason::TooManyRedirects),
                    _ => Some(RetryReason::HttpError),
                },
                reply: Some(reply),
            },
            Err(error) => Delivery {
                reply: None,
                failure: Some(match error {
                    ureq::Error::Timeout(_) => RetryReason::HttpTimeout,
                    ureq::Error::Io(_) | ureq::Error::ConnectionFailed => {
                        RetryReason::ConnectionFailed
                    }
                    _ => RetryReason::UnknownError,
                }),
            },
        }
    }
}
