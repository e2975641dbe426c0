//! Webhooks, as far as no database is needed.

use axum::http::StatusCode;

use super::{json_of, request, send, signed};
use crate::http::path::HOOKS;
use crate::serve::without_database::HOOK_TOKEN;

fn hook(token: &str, body: &[u8]) -> (StatusCode, String) {
    let token = ("x-gitlab-token".to_owned(), token.to_owned());
    send(request(HOOKS, "application/json", body, &[token]))
}

#[test]
fn webhooks_are_gitlabs_alone() {
    let (status, _) = send(request(HOOKS, "application/json", b"{}", &[]));
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    for token in ["", "another token", "a token of test"] {
        let (status, text) = hook(token, b"{}");
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{token}");
        assert!(!text.contains("token of tests"), "{text}");
    }
    // Slack's signature is not valid here.
    let (status, _) = send(signed(HOOKS, "application/json", b"{}"));
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[test]
fn webhooks_are_json_of_a_size() {
    for body in [&b""[..], b"{", b"\xff", b"{\"ref\": \"\\ud800\"}"] {
        let (status, text) = hook(HOOK_TOKEN, body);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body:?}");
        assert_eq!(json_of(&text)["status"], 400);
    }
    let deep = "[".repeat(200_000);
    assert_eq!(hook(HOOK_TOKEN, deep.as_bytes()).0, StatusCode::BAD_REQUEST);
    let large = vec![b' '; (25 << 20) + 1];
    assert_eq!(hook(HOOK_TOKEN, &large).0, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Nobody is notified of these, so no database is needed.
#[test]
fn webhooks_of_other_kinds_are_taken() {
    for body in [
        &br#"{"object_kind": "access_token"}"#[..],
        br#"{"event_name": "project_create"}"#,
        b"{}",
        b"[]",
    ] {
        let (status, text) = hook(HOOK_TOKEN, body);
        assert_eq!(status, StatusCode::OK, "{text}");
        assert_eq!(json_of(&text)["deliveries"], 0, "{text}");
    }
}

#[test]
fn without_a_database_webhooks_are_to_be_sent_again() {
    let (status, text) = hook(HOOK_TOKEN, br#"{"object_kind": "push"}"#);
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(
        !text.contains("nowhere") && !text.contains("push"),
        "{text}"
    );
}
