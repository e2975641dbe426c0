//! A sender's report about a delivery.

use crate::error::{DeliveryError, Result};
use lockstep_server::jsonb_typeof;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// How much of Slack's error codes is kept.
const MOST_CHARACTERS: usize = 255;
/// Longer than Slack ever asks anyone to wait, in seconds.
const LONGEST: f64 = 7.0 * 86_400.0;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Delivered,
    /// It certainly failed, and may succeed next time.
    Retry,
    /// Unknown whether it succeeded.
    Uncertain,
    /// Slack accepted nothing because of its rate limit.
    RateLimited,
    /// Permanent failure.
    Failed,
    /// The message to update already shows something newer, so no request was made.
    Superseded,
    /// The message to update is gone.
    LostMessage,
    /// No request was made.
    Release,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Given {
    pub(super) delivery: i64,
    pub(super) lease: i64,
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) error: Option<String>,
    #[serde(default)]
    pub(super) needed: Option<String>,
    /// Seconds until it may be retried.
    #[serde(default)]
    wait: Option<f64>,
    /// Seconds since the request began.
    #[serde(default)]
    ago: Option<f64>,
    #[serde(default)]
    pub(super) ts: Option<String>,
    #[serde(default)]
    pub(super) channel: Option<String>,
    /// When the event happened, in seconds since 1970.
    #[serde(default)]
    pub(super) moment: Option<i64>,
}

impl Given {
    /// Parses an array; of several results for one delivery, the first counts.
    pub(super) fn all(results: Value) -> Result<Vec<Self>> {
        let Value::Array(results) = results else {
            return Err(DeliveryError::NotAnArray {
                actual: jsonb_typeof(&results),
            }
            .into());
        };
        let mut all: Vec<Self> = Vec::with_capacity(results.len());
        for (place, result) in (1..).zip(results) {
            let given: Self =
                serde_json::from_value(result).map_err(|error| DeliveryError::Malformed {
                    place,
                    reason: error.to_string(),
                })?;
            all.push(given);
        }
        let mut seen = BTreeSet::new();
        all.retain(|it| seen.insert(it.delivery));
        for it in &mut all {
            it.error = it.error.take().map(cut);
            it.needed = it.needed.take().map(cut);
            // None of Slack's ids is that long.
            it.ts.take_if(|text| text.chars().count() > MOST_CHARACTERS);
            it.channel
                .take_if(|text| text.chars().count() > MOST_CHARACTERS);
        }
        Ok(all)
    }

    pub(super) fn status(&self) -> &'static str {
        match self.outcome {
            Outcome::Delivered | Outcome::Superseded => "delivered",
            Outcome::Failed => "failed",
            _ => "waiting",
        }
    }

    pub(super) fn wait(&self) -> f64 {
        match self.outcome {
            Outcome::Retry | Outcome::Uncertain | Outcome::RateLimited => seconds(self.wait),
            _ => 0.0,
        }
    }

    /// Seconds since the request began; None without a request. Without a time, it began just now.
    pub(super) fn ago(&self) -> Option<f64> {
        match self.outcome {
            Outcome::Release | Outcome::Superseded => None,
            Outcome::Failed => self.ago.map(|ago| seconds(Some(ago))),
            _ => Some(seconds(self.ago)),
        }
    }

    /// Whether the delivery's row changes.
    pub(super) fn counts(&self) -> bool {
        !matches!(
            self.outcome,
            Outcome::RateLimited | Outcome::LostMessage | Outcome::Release
        )
    }
}

fn seconds(given: Option<f64>) -> f64 {
    given.unwrap_or_default().clamp(0.0, LONGEST)
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => text[..end].to_owned(),
        None => text,
    }
}
