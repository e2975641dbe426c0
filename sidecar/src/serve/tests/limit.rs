//! Limits on starting installations.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use tower::ServiceExt;

use super::run;
use crate::http::Peer;
use crate::serve::without_database::router_without_database;

/// Each start is a row in the database, and anybody can start one.
#[test]
fn beginnings_are_limited() {
    let router = router_without_database();
    let statuses = run(async {
        let mut statuses = Vec::new();
        for _ in 0..500 {
            let request = Request::get("/slack/install").body(Body::empty());
            let request = request.unwrap_or_else(|error| unreachable!("{error}"));
            let Ok(response) = router.clone().oneshot(request).await;
            statuses.push(response.status());
        }
        statuses
    });
    assert_eq!(statuses[0], StatusCode::SERVICE_UNAVAILABLE);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
}

/// A client that starts too often does not affect others.
#[test]
fn beginnings_are_limited_by_network() {
    let router = router_without_database();
    let begin = async |address: [u8; 4]| {
        let request = Request::get("/slack/install").extension(Peer(address.into()));
        let request = request.body(Body::empty());
        let request = request.unwrap_or_else(|error| unreachable!("{error}"));
        let Ok(response) = router.clone().oneshot(request).await;
        response.status()
    };
    run(async {
        let mut is_refused = false;
        for _ in 0..500 {
            is_refused |= begin([192, 0, 2, 1]).await == StatusCode::TOO_MANY_REQUESTS;
        }
        assert!(is_refused);
        assert_eq!(begin([192, 0, 2, 2]).await, StatusCode::SERVICE_UNAVAILABLE);
    });
}
