//! Parsing responses of the Web API.

use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::Value;

use super::error::CallError;

/// Slack's shortest pause, and the default if Slack does not say.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);

/// Slack never asks for more; a proxy might ask for anything.
const LONGEST_PAUSE: Duration = Duration::from_secs(7 * 86_400);

/// The common part of all responses.
#[derive(Deserialize)]
struct Answer {
    ok: bool,
    error: Option<String>,
    needed: Option<String>,
}

/// How long to pause, according to the header.
pub(super) fn pause(headers: &HeaderMap) -> Duration {
    let text = headers.get(RETRY_AFTER).and_then(|it| it.to_str().ok());
    let Some(text) = text.map(str::trim) else {
        return SHORTEST_PAUSE;
    };
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds).clamp(SHORTEST_PAUSE, LONGEST_PAUSE),
        // Too large for a number.
        Err(_) if is_number => LONGEST_PAUSE,
        Err(_) => SHORTEST_PAUSE,
    }
}

pub(super) fn read(status: StatusCode, pause: Duration, body: &[u8]) -> Result<Value, CallError> {
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(CallError::RateLimited(pause));
    }
    let by_status = || CallError::Status(status.as_u16());
    if status.is_server_error() {
        return Err(by_status());
    }
    // Without looking at the rest: whatever else it says, what was done must not be done again.
    match serde_json::from_slice(body).ok() {
        Some(Answer { ok: true, .. }) if status.is_success() => Ok(content(body)),
        Some(Answer {
            ok: false,
            error: Some(name),
            needed,
        }) => Err(match &*name {
            "ratelimited" | "rate_limited" => CallError::RateLimited(pause),
            _ => CallError::Refused { name, needed },
        }),
        _ if status.is_success() => Err(CallError::Garbled),
        // Slack's own errors have names: this one is from something in between.
        _ => Err(by_status()),
    }
}

/// As far as it can be read: an answer may repeat a text of ours that Slack has cut in the middle of a character.
fn content(body: &[u8]) -> Value {
    let read = serde_json::from_slice(body);
    read.or_else(|_| serde_json::from_slice(&without_halves(body)))
        .unwrap_or_default()
}

/// With a replacement character for each escaped half of a surrogate pair.
fn without_halves(body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(&first) = rest.first() {
        let next = rest.get(UNIT..).and_then(unit);
        let length = match (first, unit(rest), next) {
            (b'\\', Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 2 * UNIT,
            (b'\\', Some(0xD800..=0xDFFF), _) => {
                whole.extend_from_slice(br"\ufffd");
                rest = rest.get(UNIT..).unwrap_or_default();
                continue;
            }
            (b'\\', ..) => 2,
            _ => 1,
        };
        let (taken, left) = rest.split_at(length.min(rest.len()));
        whole.extend_from_slice(taken);
        rest = left;
    }
    whole
}

/// `\u1234` has six bytes.
const UNIT: usize = 6;

/// The escaped unit of UTF-16 at the beginning.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(br"\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use axum::http::header::RETRY_AFTER;
    use axum::http::{HeaderMap, HeaderValue, StatusCode};

    use super::{pause, read};
    use crate::slack::client::error::CallError;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    #[test]
    fn pauses_are_such_as_can_be_waited_for() {
        let largest = u64::MAX.to_string();
        for (text, seconds) in [
            ("0", 1),
            ("30", 30),
            ("604800", 604_800),
            ("604801", 604_800),
            (&*largest, 604_800),
            ("99999999999999999999999999", 604_800),
            ("", 1),
            ("-1", 1),
            ("soon", 1),
            ("Wed, 21 Oct 2026 07:28:00 GMT", 1),
        ] {
            let value = HeaderValue::from_str(text).into_iter();
            let headers: HeaderMap = value.map(|value| (RETRY_AFTER, value)).collect();
            let pause = pause(&headers);
            assert_eq!(pause, Duration::from_secs(seconds), "{text}");
            assert!(Instant::now().checked_add(pause).is_some(), "{text}");
        }
        assert_eq!(pause(&HeaderMap::new()), Duration::from_secs(1));
    }

    /// What Slack has done is not done again because of a field that cannot be read.
    #[test]
    fn what_is_ok_is_ok() {
        let deep = format!(
            r#"{{"ok": true, "ts": "1", "x": {}1{}}}"#,
            "[".repeat(200),
            "]".repeat(200)
        );
        for (body, ts, text) in [
            (
                r#"{"ok": true, "ts": "1", "message": {"text": "a\ud83d"}}"#,
                Some("1"),
                Some("a\u{fffd}"),
            ),
            (
                r#"{"ok": true, "ts": "1", "message": {"text": "\udc00\ud83d\ude00\\ud83d"}}"#,
                Some("1"),
                Some("\u{fffd}😀\\ud83d"),
            ),
            (r#"{"ok": true, "ts": "1", "x": 1e400}"#, None, None),
            (&deep, None, None),
        ] {
            let read = read(StatusCode::OK, WEEK, body.as_bytes()).unwrap_or_default();
            assert_eq!(read["ts"].as_str(), ts, "{body}");
            assert_eq!(read["message"]["text"].as_str(), text, "{body}");
        }
        for body in [
            r#"{"ok": true, "x": 1e400}"#,
            &deep,
            r#"{"ok": true, "x": "\ud83d"}"#,
        ] {
            assert!(
                read(StatusCode::OK, WEEK, body.as_bytes()).is_ok(),
                "{body}"
            );
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let refused = |name: &str| {
            Err(CallError::Refused {
                name: name.to_owned(),
                needed: None,
            })
        };
        for (status, body, expected) in [
            (
                200,
                r#"{"ok": false, "error": "ratelimited"}"#,
                Err(CallError::RateLimited(WEEK)),
            ),
            (
                200,
                r#"{"ok": false, "error": "rate_limited"}"#,
                Err(CallError::RateLimited(WEEK)),
            ),
            (429, "<html>", Err(CallError::RateLimited(WEEK))),
            (
                200,
                r#"{"ok": false, "error": "is_archived"}"#,
                refused("is_archived"),
            ),
            // Slack's own errors count as such, whatever their status.
            (
                403,
                r#"{"ok": false, "error": "token_revoked"}"#,
                refused("token_revoked"),
            ),
            (
                404,
                r#"{"ok": false, "error": "unknown_method"}"#,
                refused("unknown_method"),
            ),
            (
                503,
                r#"{"ok": false, "error": "fatal_error"}"#,
                Err(CallError::Status(503)),
            ),
            (403, "<html>Forbidden", Err(CallError::Status(403))),
            (404, "", Err(CallError::Status(404))),
            (407, "{}", Err(CallError::Status(407))),
            (408, "", Err(CallError::Status(408))),
            (413, "<html>", Err(CallError::Status(413))),
            (302, "", Err(CallError::Status(302))),
            (404, r#"{"ok": true}"#, Err(CallError::Status(404))),
            (200, "<html>", Err(CallError::Garbled)),
            (200, r#"{"ok": false}"#, Err(CallError::Garbled)),
        ] {
            let status = StatusCode::from_u16(status).unwrap_or_default();
            let read = read(status, WEEK, body.as_bytes());
            assert_eq!(read, expected, "{status} {body}");
        }
    }
}
