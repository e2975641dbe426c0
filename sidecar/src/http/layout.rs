//! The layout of all pages.

use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};

use super::path::STYLE;

/// The title of a page in a browser's tab.
pub(crate) fn title(of: &str) -> String {
    format!("{of} · GitLab for Slack")
}

pub(crate) fn page(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (self::title(title)) }
                link rel="stylesheet" href=(STYLE);
            }
            body {
                main { (body) }
                footer { "Served by lockstep " (env!("CARGO_PKG_VERSION")) }
            }
        }
    }
}

/// The page of a request that failed. With the request's id, an administrator finds the cause in the log, if the page does not say it.
pub(crate) fn failure(title: &str, body: &Markup, id: Option<&str>) -> Markup {
    let body = html! {
        h1 { (title) }
        (body)
        p { a href="/" { "To the first page" } }
        @if let Some(id) = id {
            p.faint { "For the administrator: request " code { (id) } }
        }
    };
    page(title, &body)
}

/// A page only loads its own style, runs no script unless it says so itself, and cannot be framed. Its address, which may contain
/// a code from Slack, is never sent as a referrer, and nothing is cached.
const HEADERS: [(HeaderName, &str); 4] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
];

pub(crate) async fn protect(request: Request, next: Next) -> Response {
    protected(next.run(request).await)
}

pub(super) fn protected(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

pub(crate) async fn style() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "public, max-age=3600"),
    ];
    (headers, include_str!("style.css")).into_response()
}
