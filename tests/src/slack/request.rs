//! An HTTP call: its arguments and its credentials.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::answer::Refusal;

/// The arguments of a call, from query, form or JSON body, and its caller.
#[derive(Debug, Default)]
pub(crate) struct Request {
    pub(crate) arguments: Map<String, Value>,
    /// The token in `Authorization: Bearer`, otherwise the argument `token`.
    pub(crate) token: Option<String>,
    /// Name and password of `Authorization: Basic`.
    pub(crate) basic: Option<(String, String)>,
}

/// These methods only accept arguments as a form: JSON is ignored.
const FORM_ONLY: [&str; 5] = [
    "oauth.v2.access",
    "auth.revoke",
    "apps.uninstall",
    "team.info",
    "users.info",
];

impl Request {
    pub(crate) fn read(
        method: &str,
        query: &str,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let mut request = Self {
            arguments: form(query.as_bytes()),
            ..Self::default()
        };
        // Slack no longer accepts tokens in addresses, which end up in logs.
        request.arguments.remove("token");
        let kind = text_of(headers, header::CONTENT_TYPE);
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match kind {
            "application/x-www-form-urlencoded" => request.arguments.extend(form(body)),
            "application/json" if FORM_ONLY.contains(&method) => {}
            "application/json" => match serde_json::from_slice(body) {
                Ok(Value::Object(fields)) => request.arguments.extend(fields),
                Ok(_) => return Err(Refusal::new("json_not_object")),
                Err(_) => return Err(Refusal::new("invalid_json")),
            },
            "" if body.is_empty() => {}
            "" => return Err(Refusal::new("missing_post_type")),
            _ => return Err(Refusal::new("invalid_post_type")),
        }
        let authorization = text_of(headers, header::AUTHORIZATION);
        if let Some(token) = authorization.strip_prefix("Bearer ") {
            request.token = Some(token.trim().to_owned());
        } else if kind != "application/json" {
            request.token = request.text("token");
        }
        request.arguments.remove("token");
        request.basic = authorization.strip_prefix("Basic ").and_then(decode);
        Ok(request)
    }

    /// An argument as text; JSON numbers and booleans as Slack would write them. An empty text counts as missing.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        match self.arguments.get(name)? {
            Value::String(text) if text.is_empty() => None,
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn required(&self, name: &str) -> Result<String, Refusal> {
        self.text(name)
            .ok_or_else(|| Refusal::missing_argument(name))
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(self.text(name).as_deref(), Some("true" | "1"))
    }

    /// A JSON argument: as such in a JSON body, as text in a form. Err if the text is not JSON.
    pub(crate) fn json(&self, name: &str) -> Result<Option<Value>, serde_json::Error> {
        match self.arguments.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) => serde_json::from_str(text).map(Some),
            Some(other) => Ok(Some(other.clone())),
        }
    }
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

pub(crate) fn form(body: &[u8]) -> Map<String, Value> {
    form_urlencoded::parse(body)
        .map(|(name, value)| (name.into_owned(), Value::String(value.into_owned())))
        .collect()
}

fn decode(basic: &str) -> Option<(String, String)> {
    let text = String::from_utf8(STANDARD.decode(basic.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}
