//! The key that identifies an event: the id under which GitLab retries.

use axum::http::{HeaderMap, HeaderValue};
use ring::digest::{Context, SHA256};

/// The database's limit.
const LONGEST_ID: usize = 150;

/// Of a signed request only the signed parts count: an attacker who replays it cannot make it another event. GitLab before 17.4
/// has no id, so the whole request is used then.
pub(super) fn of(headers: &HeaderMap, body: &[u8], signed_id: Option<&HeaderValue>) -> String {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=LONGEST_ID).contains(&value.len()).then_some(value)
    };
    if let Some(id) = signed_id {
        return match header("webhook-id") {
            Some(id) => format!("id {id}"),
            None => format!("signed {}", hash(&[id.as_bytes(), body])),
        };
    }
    if let Some(id) = header("idempotency-key").or_else(|| header("webhook-id")) {
        return format!("id {id}");
    }
    let ids = ["x-gitlab-event-uuid", "x-gitlab-webhook-uuid"].map(|name| {
        let id: String = header(name).unwrap_or_default().chars().take(60).collect();
        id
    });
    format!("body {} {}", ids.join(" "), hash(&[body]))
}

fn hash(parts: &[&[u8]]) -> String {
    let mut context = Context::new(&SHA256);
    parts.iter().for_each(|part| context.update(part));
    let digits = context.finish();
    let digits = digits.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{LONGEST_ID, of};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().filter_map(|(name, text)| {
            let value = HeaderValue::from_str(text).ok()?;
            Some((HeaderName::from_static(name), value))
        });
        pairs.collect()
    }

    fn signed(headers: &HeaderMap) -> String {
        of(headers, b"{}", headers.get("webhook-id"))
    }

    #[test]
    fn what_is_not_signed_makes_no_other_event() {
        let long = "x".repeat(LONGEST_ID + 1);
        for id in ["an id", &long] {
            let first = signed(&headers(&[("webhook-id", id), ("idempotency-key", "1")]));
            for other in [
                "idempotency-key",
                "x-gitlab-event-uuid",
                "x-gitlab-webhook-uuid",
            ] {
                let again = signed(&headers(&[("webhook-id", id), (other, "2")]));
                assert_eq!(first, again, "{other}");
            }
            let other = signed(&headers(&[("webhook-id", &format!("{id}2"))]));
            assert_ne!(first, other);
        }
    }

    #[test]
    fn ids_of_a_token_are_those_of_gitlab() {
        let key = |pairs: &[(&'static str, &str)], body: &[u8]| of(&headers(pairs), body, None);
        assert_eq!(
            key(&[("idempotency-key", "1"), ("webhook-id", "2")], b""),
            "id 1"
        );
        assert_eq!(key(&[("webhook-id", "2")], b""), "id 2");
        assert_ne!(key(&[], b"one"), key(&[], b"two"));
        assert_ne!(key(&[("x-gitlab-event-uuid", "1")], b""), key(&[], b""));
    }
}
