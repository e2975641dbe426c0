//! What people see of an answer that is an error: programs get JSON ([`Problem`]), browsers a page.

use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::{page, protected};
use super::problem::Problem;

/// The response to the request with that id.
pub(super) fn negotiated(mut response: Response, is_browser: bool, id: &str) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let mut response = match is_browser {
        false => response,
        true => shown(&problem, id),
    };
    response
        .headers_mut()
        .append(VARY, HeaderValue::from_static("accept"));
    response
}

/// A browser names HTML; programs take anything, or say what.
pub(super) fn wants_page(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT).iter();
    let mut kinds = given
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','));
    kinds.any(|kind| kind.split(';').next().map(str::trim) == Some("text/html"))
}

fn shown(problem: &Problem, id: &str) -> Response {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let body = html! {
        h1 { (title) }
        p { (problem.detail()) }
        p { a href="/" { "To the first page" } }
        p.faint { "The administrator finds it in the log as request " code { (id) } "." }
    };
    protected((status, page(title, &body)).into_response())
}

#[cfg(test)]
mod tests {
    use axum::http::header::ACCEPT;
    use axum::http::{HeaderMap, HeaderValue};

    use super::wants_page;

    #[test]
    fn browsers_are_told_by_what_they_accept() {
        for (accept, expected) in [
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                true,
            ),
            ("application/json, text/html;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
            ("text/htmlx", false),
            ("", false),
        ] {
            let headers: HeaderMap = [(ACCEPT, HeaderValue::from_static(accept))]
                .into_iter()
                .collect();
            assert_eq!(wants_page(&headers), expected, "{accept}");
        }
        assert!(!wants_page(&HeaderMap::new()));
    }
}
