//! What identifies an event: its content, because GitLab sends one event by a system hook and by the hooks of a project and its
//! groups, each with an id of its own. The webhook and that id tell a repetition from another event with the same content.

use axum::http::{HeaderMap, HeaderValue};
use ring::digest::{SHA256, digest};

/// The database's limit.
const LONGEST_ID: usize = 150;
/// Of a webhook's UUID.
const LONGEST_WEBHOOK: usize = 36;

pub(crate) struct Identity {
    pub(crate) key: String,
    /// The webhook and the id of the request, with a space between; none if GitLab gave it no id.
    pub(crate) request: Option<String>,
}

/// Of a signed request only the signed parts count: an attacker who replays it cannot make it another event. GitLab before 17.4
/// has no id of its own for a request, but one of what caused it.
pub(super) fn of(headers: &HeaderMap, event: &str, signed_id: Option<&HeaderValue>) -> Identity {
    let header = |name: &str| {
        let value = headers.get(name)?.to_str().ok()?;
        (1..=LONGEST_ID).contains(&value.len()).then_some(value)
    };
    let id = match signed_id {
        Some(id) => Some(match header("webhook-id") {
            Some(id) => id.to_owned(),
            None => hash(id.as_bytes()),
        }),
        None => ["idempotency-key", "webhook-id", "x-gitlab-event-uuid"]
            .iter()
            .find_map(|name| header(name))
            .map(str::to_owned),
    };
    let webhook = header("x-gitlab-webhook-uuid").unwrap_or_default();
    let webhook: String = webhook.split_whitespace().collect();
    let webhook: String = webhook.chars().take(LONGEST_WEBHOOK).collect();
    Identity {
        key: hash(event.as_bytes()),
        request: id.map(|id| format!("{webhook} {id}")),
    }
}

fn hash(text: &[u8]) -> String {
    hex::encode(digest(&SHA256, text))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{LONGEST_ID, LONGEST_WEBHOOK, of};

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = pairs.iter().filter_map(|(name, text)| {
            let value = HeaderValue::from_str(text).ok()?;
            Some((HeaderName::from_static(name), value))
        });
        pairs.collect()
    }

    #[test]
    fn what_is_not_signed_makes_no_other_event() {
        let long = "x".repeat(LONGEST_ID + 1);
        let signed = |pairs: &[(&'static str, &str)]| {
            let headers = headers(pairs);
            let identity = of(&headers, "{}", headers.get("webhook-id"));
            let id = identity
                .request
                .and_then(|it| Some(it.split_once(' ')?.1.to_owned()));
            (identity.key, id)
        };
        for id in ["an id", &long] {
            let first = signed(&[("webhook-id", id), ("idempotency-key", "1")]);
            for other in [
                "idempotency-key",
                "x-gitlab-event-uuid",
                "x-gitlab-webhook-uuid",
            ] {
                let again = signed(&[("webhook-id", id), (other, "2")]);
                assert_eq!(first, again, "{other}");
            }
            assert_ne!(first, signed(&[("webhook-id", &format!("{id}2"))]));
        }
    }

    #[test]
    fn ids_of_a_token_are_those_of_gitlab() {
        type Headers<'a> = &'a [(&'static str, &'a str)];
        let request = |pairs: Headers| of(&headers(pairs), "{}", None).request;
        let both = [("idempotency-key", "1"), ("webhook-id", "2")];
        let cases: [(Headers, Option<&str>); 6] = [
            (&both, Some(" 1")),
            (&both[1..], Some(" 2")),
            (&[("x-gitlab-event-uuid", "3")], Some(" 3")),
            (
                &[("idempotency-key", "1"), ("x-gitlab-webhook-uuid", "a b")],
                Some("ab 1"),
            ),
            (&[("x-gitlab-webhook-uuid", "ab")], None),
            (&[], None),
        ];
        for (pairs, expected) in cases {
            assert_eq!(request(pairs).as_deref(), expected, "{pairs:?}");
        }
        let (id, webhook) = ("1".repeat(LONGEST_ID), "w".repeat(LONGEST_ID));
        let both = [
            ("idempotency-key", id.as_str()),
            ("x-gitlab-webhook-uuid", webhook.as_str()),
        ];
        let found = of(&headers(&both), "{}", None);
        let length = found.key.len() + 1 + found.request.map_or(0, |it| it.len());
        // The database accepts 255.
        assert_eq!(length, 64 + 1 + LONGEST_WEBHOOK + 1 + LONGEST_ID);
        assert!(length <= 255, "{length}");
    }

    #[test]
    fn the_content_is_the_identity() {
        let key = |event: &str| of(&HeaderMap::new(), event, None).key;
        assert_eq!(key("one"), key("one"));
        assert_ne!(key("one"), key("two"));
    }
}
