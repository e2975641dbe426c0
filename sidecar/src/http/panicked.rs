//! A bug is answered like any other failure: the connection stays, and whoever asked gets an answer.

use std::any::Any;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;

use super::problem::Problem;

type Answering = fn(Box<dyn Any + Send>) -> Response;

pub(crate) fn catch_panics() -> CatchPanicLayer<Answering> {
    CatchPanicLayer::custom(answer)
}

/// What it was is in the log.
fn answer(_: Box<dyn Any + Send>) -> Response {
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "The request failed. What it was to do may be done or not.",
    )
    .into_response()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::response::Response;
    use axum::routing::get;
    use tower::ServiceExt;

    use super::catch_panics;

    #[tokio::test]
    async fn a_panic_is_an_answer() {
        async fn fail() -> Response {
            unreachable!("a bug")
        }
        let router: Router = Router::new().route("/", get(fail)).layer(catch_panics());
        let request = Request::get("/").body(Body::empty());
        let answered = router.oneshot(request.unwrap_or_default()).await;
        let status = answered.map(|response| response.status());
        assert_eq!(status, Ok(StatusCode::INTERNAL_SERVER_ERROR));
    }
}
