//! What people see of an answer that is an error: programs get JSON ([`Problem`]), browsers a page.

use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use maud::html;

use super::current::shown_id;
use super::layout::{failure, protected};
use super::problem::Problem;

/// The response in the form that the request asked for.
pub(super) fn negotiated(mut response: Response, is_browser: bool) -> Response {
    let Some(problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    let mut response = match is_browser {
        false => response,
        true => shown(&problem),
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

fn shown(problem: &Problem) -> Response {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or("Error");
    // What is wrong with a request is on the page.
    let id = status.is_server_error().then(shown_id).flatten();
    let body = html! { p { (problem.detail()) } };
    let page = failure(title, &body, id.as_deref());
    protected((status, page).into_response())
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
