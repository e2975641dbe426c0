//! What people get when a request fails: a page or an answer in Slack, with the id by which it is found in the log.

use std::error::Error;
use std::io::{Read, pipe};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::Response;
use axum::routing::get;
use tower::ServiceExt;

use tracing::subscriber::set_default;
use tracing_subscriber::fmt;

use super::{FORM, json_of, respond, run, send, signed, slash, text};
use crate::http::path::{COMMANDS, INSTALL};
use crate::serve::compose::observed;

/// People get an error page; programs get JSON.
#[test]
fn browsers_get_a_page_where_programs_get_json() {
    let asked = |accept: &str| {
        let request = Request::builder()
            .uri("/nowhere")
            .header("accept", accept)
            .header("x-request-id", "told-1")
            .body(Body::empty());
        respond(request.unwrap_or_else(|error| unreachable!("{error}")))
    };
    let page = asked("text/html,*/*;q=0.8");
    assert_eq!(page.status(), StatusCode::NOT_FOUND);
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    assert!(page.headers().contains_key("content-security-policy"));
    assert_eq!(page.headers()["vary"], "accept");
    let page = text(page);
    for words in ["This page does not exist.", "href=\"/\""] {
        assert!(page.contains(words), "{words}: {page}");
    }
    // There is no more to be found.
    assert!(!page.contains("told-1"), "{page}");
    let json = asked("*/*");
    assert_eq!(json.headers()["content-type"], "application/problem+json");
    assert_eq!(json_of(&text(json))["status"], 404);
}

/// Whatever a person sees of a failure has the id by which it is found in the log, even while the database is away.
#[test]
fn failures_name_their_request() -> Result<(), Box<dyn Error>> {
    let (mut log, writer) = pipe()?;
    let subscriber = fmt().with_ansi(false).with_writer(Arc::new(writer));
    let logging = set_default(subscriber.finish());
    let id = |request: &mut Request<Body>, id: &'static str| {
        request
            .headers_mut()
            .insert("x-request-id", HeaderValue::from_static(id));
    };
    let mut page = Request::get(INSTALL)
        .body(Body::empty())
        .unwrap_or_default();
    id(&mut page, "told-1");
    let page = respond(page);
    assert_eq!(page.status(), StatusCode::SERVICE_UNAVAILABLE);
    let page = text(page);
    assert!(page.contains("told-1"), "{page}");
    for (command, given, told) in [
        ("/chatops", "run feature get f --staging", "told-2"),
        ("/gitlab", "status", "told-3"),
    ] {
        let mut request = signed(COMMANDS, FORM, &slash(command, given));
        id(&mut request, told);
        let (status, text) = send(request);
        assert_eq!(status, StatusCode::OK);
        let note = format!("(request `{told}`)");
        assert!(text.contains(&note), "{command}: {text}");
    }
    let mut request = signed(COMMANDS, FORM, &slash("/gitlab", "help"));
    id(&mut request, "told-4");
    assert!(!send(request).1.contains("told-4"));
    drop(logging);
    let mut logged = String::new();
    log.read_to_string(&mut logged)?;
    for told in ["told-1", "told-2", "told-3"] {
        let lines = logged.lines().filter(|line| {
            line.contains(&format!("id=\"{told}\"")) && line.contains("its id was shown")
        });
        assert_eq!(lines.count(), 1, "{told}: {logged}");
    }
    assert!(!logged.contains("told-4"), "{logged}");
    Ok(())
}

/// Even a bug.
#[test]
fn bugs_are_answered() {
    async fn bug() -> Response {
        unreachable!("a bug")
    }
    let router = observed(Router::new().route("/", get(bug)));
    let request = Request::get("/").body(Body::empty()).unwrap_or_default();
    let Ok(response) = run(router.oneshot(request));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.headers().contains_key("x-request-id"));
    assert_eq!(json_of(&text(response))["status"], 500);
}

#[test]
fn requests_have_ids() {
    let answered = |id: Option<&str>| {
        let mut request = Request::builder().method(Method::GET).uri("/");
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        let request = request.body(Body::empty());
        let response = respond(request.unwrap_or_else(|error| unreachable!("{error}")));
        let id = response.headers().get("x-request-id").cloned();
        id.and_then(|id| id.to_str().ok().map(str::to_owned))
            .unwrap_or_default()
    };
    assert_eq!(answered(Some("from-a.proxy_1")), "from-a.proxy_1");
    let long = "x".repeat(65);
    for id in [None, Some("two words"), Some("<b>"), Some(&long)] {
        let own = answered(id);
        assert!(own.len() > 8 && id != Some(&own), "{own}");
        assert_ne!(own, answered(id));
    }
}
