//! The whole router without a database: who gets which response.

mod failure;
mod hook;
mod limit;

use std::time::{Duration, SystemTime};

use axum::body::{Body, to_bytes};
use axum::http::header::{CONTENT_TYPE, LOCATION, SET_COOKIE};
use axum::http::{Request, Response, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tower::ServiceExt;

use super::without_database::{SECRET, router_without_database};
use crate::http::path::{COMMANDS, EVENTS, INTERACTIONS, OPTIONS, STATUS, STATUS_PART};
use crate::slack::signed_headers;

const FORM: &str = "application/x-www-form-urlencoded";

fn request(path: &str, kind: &str, body: &[u8], headers: &[(String, String)]) -> Request<Body> {
    let mut request = Request::post(path).header(CONTENT_TYPE, kind);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request
        .body(Body::from(body.to_vec()))
        .unwrap_or_else(|error| unreachable!("{error}"))
}

fn signed(path: &str, kind: &str, body: &[u8]) -> Request<Body> {
    request(
        path,
        kind,
        body,
        &signed_headers(SECRET, body, SystemTime::now()),
    )
}

fn send(request: Request<Body>) -> (StatusCode, String) {
    let response = respond(request);
    let status = response.status();
    (status, text(response))
}

fn respond(request: Request<Body>) -> Response<Body> {
    run(async {
        router_without_database()
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {})
    })
}

fn text(response: Response<Body>) -> String {
    let bytes = run(to_bytes(response.into_body(), usize::MAX)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime
        .unwrap_or_else(|error| unreachable!("{error}"))
        .block_on(future)
}

fn command(text: &str) -> Vec<u8> {
    slash("/gitlab", text)
}

fn slash(command: &str, text: &str) -> Vec<u8> {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("team_id", "T1"),
            ("user_id", "U1"),
            ("command", command),
            ("text", text),
        ])
        .finish()
        .into_bytes()
}

fn json_of(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

#[test]
fn what_slack_did_not_sign_is_refused_and_told_nothing() {
    let now = SystemTime::now();
    let body = br#"{"type": "url_verification", "challenge": "c"}"#;
    let others = [
        vec![],
        signed_headers("another secret", body, now).to_vec(),
        signed_headers(SECRET, b"another body", now).to_vec(),
        signed_headers(SECRET, body, now - Duration::from_secs(301)).to_vec(),
        // However long the test takes.
        signed_headers(SECRET, body, now + Duration::from_secs(3_600)).to_vec(),
    ];
    for path in [EVENTS, INTERACTIONS, OPTIONS, COMMANDS] {
        for headers in &others {
            let (status, text) = send(request(path, "application/json", body, headers));
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {headers:?}");
            let problem = json_of(&text);
            assert_eq!(problem["status"], 401);
            assert!(
                !text.contains("challenge") && !text.contains("v0="),
                "{text}"
            );
        }
    }
}

#[test]
fn address_is_verified() {
    let body = br#"{"type": "url_verification", "token": "t", "challenge": "a challenge"}"#;
    let (status, text) = send(signed(EVENTS, "application/json", body));
    assert_eq!(
        (status, json_of(&text)),
        (StatusCode::OK, json!({ "challenge": "a challenge" }))
    );
}

#[test]
fn ssl_check_is_strict() {
    let unsigned = |kind: &str, body: &str| send(request(COMMANDS, kind, body.as_bytes(), &[]));
    for (kind, body) in [
        (FORM, "ssl_check=1"),
        (FORM, "ssl_check=1&token=t"),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "token=t&ssl_check=1",
        ),
    ] {
        assert_eq!(
            unsigned(kind, body),
            (StatusCode::OK, String::new()),
            "{kind} {body}"
        );
        assert_eq!(
            send(signed(COMMANDS, kind, body.as_bytes())),
            (StatusCode::OK, String::new()),
            "signed: {kind} {body}"
        );
    }
    for (kind, body) in [
        (FORM, "ssl_check=0"),
        (FORM, "ssl_check=true"),
        (FORM, "ssl_check="),
        (FORM, "ssl_check=1&ssl_check=1"),
        (FORM, "ssl_check=11"),
        (FORM, "text=ssl_check%3D1"),
        ("application/json", r#"{"ssl_check": "1"}"#),
        ("application/json", "ssl_check=1"),
        ("text/plain", "ssl_check=1"),
    ] {
        let (status, _) = unsigned(kind, body);
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{kind} {body}");
    }
    // Only for commands.
    let (status, _) = send(request(EVENTS, FORM, b"ssl_check=1", &[]));
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[test]
fn body_has_a_limit() {
    let body = vec![b'x'; (1 << 20) + 1];
    let (status, _) = send(signed(EVENTS, "application/json", &body));
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[test]
fn help_needs_no_database() {
    for (said, begins) in [
        ("help", "*Commands*"),
        ("", "*Commands*"),
        ("dance", "Unknown command `dance`."),
    ] {
        let (status, text) = send(signed(COMMANDS, FORM, &command(said)));
        let reply = json_of(&text);
        assert_eq!(
            (status, &reply["response_type"]),
            (StatusCode::OK, &json!("ephemeral")),
            "{said}"
        );
        assert!(
            reply["text"]
                .as_str()
                .is_some_and(|text| text.starts_with(begins)),
            "{text}"
        );
    }
}

#[test]
fn chatops_tells_which_environment_is_out_of_reach() {
    let give = |text: &str| {
        let (status, text) = send(signed(COMMANDS, FORM, &slash("/chatops", text)));
        assert_eq!(status, StatusCode::OK, "{text}");
        json_of(&text)
    };
    for (text, expected) in [
        (
            "run feature get f --staging",
            "*f*\n:warning: staging: unreachable",
        ),
        (
            "run feature set f true --staging",
            "<@U1>: `/chatops run feature set f true --staging`\n:warning: staging: unreachable, so nothing was changed there",
        ),
        (
            "run feature set f true",
            ":x: The environment `production` is not configured, so nothing was done. Configured: `--staging`.",
        ),
    ] {
        let message = give(text);
        let said = message["text"].as_str().unwrap_or_default();
        // What failed is in the log as well.
        let said = said
            .split_once("\nThe app's operator")
            .map_or(said, |it| it.0);
        assert_eq!(said, expected);
        assert_eq!(message["response_type"], "ephemeral");
    }
    let help = give("run feature set --help");
    let help = help["text"].as_str().unwrap_or_default();
    assert!(
        help.contains("--ignore-feature-flag-consistency-check"),
        "{help}"
    );
}

#[test]
fn without_a_database_commands_say_so_and_the_rest_is_to_be_sent_again() {
    let (status, text) = send(signed(COMMANDS, FORM, &command("status")));
    assert_eq!(status, StatusCode::OK);
    assert!(
        text.contains("The database does not respond at the moment"),
        "{text}"
    );
    let event = json!({
        "type": "event_callback", "team_id": "T1", "event_id": "Ev1", "event_time": 1,
        "event": { "type": "app_uninstalled" },
    });
    let (status, text) = send(signed(
        EVENTS,
        "application/json",
        event.to_string().as_bytes(),
    ));
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    for words in ["nowhere", "No such file", "tokio"] {
        assert!(!text.contains(words), "{text}");
    }
    let click = json!({
        "type": "block_actions", "team": { "id": "T1" }, "user": { "id": "U1" },
        "actions": [{ "action_id": "switch_on", "value": "1", "action_ts": "1.2" }],
    });
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &click.to_string())
        .finish();
    let (status, _) = send(signed(INTERACTIONS, FORM, form.as_bytes()));
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn events_that_nobody_knows_are_acknowledged() {
    for body in [
        json!({ "type": "app_rate_limited", "minute_rate_limited": 1 }),
        json!({ "type": "event_callback", "event": { "type": "message" } }),
        json!({ "type": "event_callback", "event": {} }),
        json!({ "type": "event_callback" }),
        json!({ "type": "something new" }),
    ] {
        let answered = send(signed(
            EVENTS,
            "application/json",
            body.to_string().as_bytes(),
        ));
        assert_eq!(answered, (StatusCode::OK, "{}".to_owned()), "{body}");
    }
}

#[test]
fn what_is_malformed_is_a_problem_of_the_sender() {
    for (path, kind, body) in [
        (EVENTS, "application/json", "{"),
        (EVENTS, "application/json", "[]"),
        (
            EVENTS,
            "application/json",
            r#"{"type": "url_verification"}"#,
        ),
        (
            EVENTS,
            "application/json",
            r#"{"type": "event_callback", "event": {"type": "app_uninstalled"}}"#,
        ),
        (
            EVENTS,
            "application/json",
            r#"{"type": "event_callback", "team_id": "T1", "event": {"type": "app_uninstalled"}}"#,
        ),
        (COMMANDS, FORM, "text=help"),
        (INTERACTIONS, FORM, "payload=1"),
        (INTERACTIONS, FORM, "payload={"),
        (INTERACTIONS, FORM, "other={}"),
        (OPTIONS, FORM, ""),
    ] {
        let (status, text) = send(signed(path, kind, body.as_bytes()));
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body}: {text}");
        assert_eq!(json_of(&text)["title"], "Bad Request");
    }
}

fn get(path: &str) -> Response<Body> {
    let request = Request::get(path).body(Body::empty());
    respond(request.unwrap_or_else(|error| unreachable!("{error}")))
}

#[test]
fn pages_are_guarded() {
    let landing = get("/");
    let policy = landing.headers().get("content-security-policy");
    assert!(policy.is_some_and(|policy| policy.as_bytes().starts_with(b"default-src 'none'")));
    let text = text(landing);
    assert!(
        text.contains("Add to Slack") && !text.contains("Workspaces"),
        "{text}"
    );

    let asked = get("/sign-in");
    assert_eq!(asked.status(), StatusCode::UNAUTHORIZED);
    assert!(asked.headers().contains_key("www-authenticate"));

    // Without a database no installation starts.
    let install = get("/slack/install");
    assert_eq!(install.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(!install.headers().contains_key(LOCATION));
    let back = get("/slack/install/callback?code=c");
    assert_eq!(back.status(), StatusCode::BAD_REQUEST);
    assert!(back.headers().get(SET_COOKIE).is_some_and(|cookie| {
        cookie
            .to_str()
            .is_ok_and(|cookie| cookie.contains("Max-Age=0") && cookie.contains("; Secure"))
    }));
}

#[test]
fn health_says_what_is_wrong() {
    assert_eq!(get("/healthz").status(), StatusCode::OK);
    let ready = get("/readyz");
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(json_of(&text(ready))["database"], "out of reach");
    assert_eq!(get("/nowhere").status(), StatusCode::NOT_FOUND);
    assert_eq!(get(EVENTS).status(), StatusCode::METHOD_NOT_ALLOWED);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_of_chatops_is_answered(text in "(run (feature|incident|release|rollout|workers) )?.{0,60}") {
        let (status, text) = send(signed(COMMANDS, FORM, &slash("/chatops", &text)));
        prop_assert_eq!(status, StatusCode::OK);
        prop_assert!(json_of(&text)["text"].as_str().is_some_and(|text| !text.is_empty()), "{}", text);
    }

    /// Any signed request gets a response, and never by a panic or with an unexpected status.
    #[test]
    fn any_signed_body_is_answered(path in prop_oneof![Just(EVENTS), Just(INTERACTIONS), Just(OPTIONS), Just(COMMANDS)], body: Vec<u8>, kind in "(application/json|application/x-www-form-urlencoded|text/plain)") {
        let (status, _) = send(signed(path, &kind, &body));
        prop_assert!(status == StatusCode::OK || status == StatusCode::BAD_REQUEST, "{status}");
    }
}

#[test]
fn status_is_for_viewers() {
    for path in [STATUS, STATUS_PART] {
        let request = Request::get(path).body(Body::empty());
        let response = respond(request.unwrap_or_else(|error| unreachable!("{error}")));
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert!(response.headers().contains_key("www-authenticate"));
        let text = text(response);
        assert!(!text.contains("Messages"), "{text}");
    }
}
