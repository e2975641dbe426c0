//! What a sender says became of a delivery.

use crate::error::{DeliveryError, Result};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// Of Slack's names of errors so much is kept.
const MOST_CHARACTERS: usize = 255;
/// Longer than Slack ever lets anybody wait, in seconds.
const LONGEST: f64 = 7.0 * 86_400.0;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    Delivered,
    /// It failed for sure, and may not the next time.
    Retry,
    /// Nobody knows.
    Uncertain,
    /// Slack took nothing, as it has had enough for now.
    RateLimited,
    /// For good.
    Failed,
    /// The message that it was to update shows something newer: there was no request.
    Superseded,
    /// The message that it was to update is gone.
    LostMessage,
    /// There was no request.
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
    /// Seconds until it may be tried again.
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
    /// All of an array; of two about one delivery, the first.
    pub(super) fn all(results: Value) -> Result<Vec<Self>> {
        let Value::Array(results) = results else {
            return Err(DeliveryError::NotAnArray {
                actual: kind(&results),
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
            // No names of Slack's are that long.
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

    /// Seconds since the request began; none, if there was none. One whose time is not told began just now.
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

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
