//! Slack's responses.

use serde_json::{Map, Value, json};

/// Why a Web API call failed. Slack reports this in the body of a response with status 200.
#[derive(Debug)]
pub(crate) struct Refusal {
    error: String,
    more: Map<String, Value>,
    /// In seconds; only with `ratelimited`.
    retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            more: Map::new(),
            retry_after: None,
        }
    }

    pub(crate) fn rate_limited(retry_after: u64) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new("ratelimited")
        }
    }

    /// With the findings of a check, each naming the problem and its place.
    pub(crate) fn with_messages(error: &str, messages: Vec<String>) -> Self {
        Self::new(error).with("response_metadata", json!({ "messages": messages }))
    }

    pub(crate) fn missing_argument(name: &str) -> Self {
        Self::with_messages(
            "invalid_arguments",
            vec![format!("[ERROR] missing required field: {name}")],
        )
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.more.insert(key.to_owned(), value);
        self
    }
}

/// The HTTP response.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<u64>,
    /// A string is sent as it is, anything else as JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self {
            status,
            retry_after: None,
            body,
        }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::json(status, Value::String(body.to_owned()))
    }
}

impl From<Result<Value, Refusal>> for Answer {
    fn from(outcome: Result<Value, Refusal>) -> Self {
        match outcome {
            Ok(body) => {
                let mut all = Map::from_iter([("ok".to_owned(), json!(true))]);
                if let Value::Object(fields) = body {
                    all.extend(fields);
                }
                Self::json(200, Value::Object(all))
            }
            Err(refusal) => {
                let mut all = Map::from_iter([
                    ("ok".to_owned(), json!(false)),
                    ("error".to_owned(), json!(refusal.error)),
                ]);
                all.extend(refusal.more);
                Self {
                    status: if refusal.retry_after.is_some() {
                        429
                    } else {
                        200
                    },
                    retry_after: refusal.retry_after,
                    body: Value::Object(all),
                }
            }
        }
    }
}
