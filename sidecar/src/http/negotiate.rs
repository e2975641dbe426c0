//! What people see of an answer that is an error: programs get JSON ([`Problem`]), browsers a page.

use axum::extract::Request;
use axum::http::header::{ACCEPT, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use maud::html;

use super::layout::{failure, protected};
use super::problem::Problem;

pub(crate) async fn negotiate(request: Request, next: Next) -> Response {
    let is_browser = wants_page(request.headers());
    let mut response = next.run(request).await;
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
fn wants_page(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT).iter();
    let mut kinds = given
        .filter_map(|it| it.to_str().ok())
        .flat_map(|it| it.split(','));
    kinds.any(|kind| kind.split(';').next().map(str::trim) == Some("text/html"))
}

fn shown(problem: &Problem) -> Response {
    let status = problem.status();
    let title = status.canonical_reason().unwrap_or("Error");
    let page = failure(title, &html! { p { (problem.detail()) } });
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
