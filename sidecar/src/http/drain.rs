//! Makes sure that clients receive refusals. A client whose headers are refused keeps sending its body: if the connection were
//! closed then, the client would see a broken connection instead of the response. So the rest of a body is read and discarded,
//! within limits.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::pace::Pace;

/// More than GitLab sends.
const MOST_BYTES: usize = 32 << 20;
const PATIENCE: Duration = Duration::from_secs(10);

/// Hardly any body is larger. The rest of those that are is read at a common pace. Beside many who send them without a pause, the rest
/// of an honest one may not be read in time, and its sender sees a broken connection in place of the refusal.
const SMALL: usize = 64 << 10;

static PACE: Pace = Pace::new();

/// The request, with a body whose rest is read.
pub(super) fn drained(request: Request) -> Request {
    // A client that asks before sending a body sends none after a refusal.
    match request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        true => request,
        false => request.map(|body| Body::new(Whole(body))),
    }
}

/// A body whose rest is read when it is dropped.
struct Whole(Body);

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = Body::empty();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Outside the runtime nothing can be read.
        if !self.0.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            let rest = std::mem::take(&mut self.0);
            runtime.spawn(timeout(PATIENCE, throw_away(rest)));
        }
    }
}

async fn throw_away(mut rest: Body) {
    let mut left = MOST_BYTES;
    while let Some(Ok(frame)) = rest.frame().await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(less) => left = less,
            None => break,
        }
        if MOST_BYTES - left > SMALL {
            PACE.wait(length).await;
        }
    }
}
