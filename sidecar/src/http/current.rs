//! The request that is being answered: whatever is done for it knows its id and its trace, even after the response.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::task_local;
use tracing::{Instrument, Span, info};

use super::trace::{self, Incoming};

#[derive(Clone)]
pub(super) struct Current(Arc<Known>);

struct Known {
    id: HeaderValue,
    trace: Incoming,
    has_failed: AtomicBool,
    /// That the id is shown; decided when it is shown first.
    is_logged: OnceLock<bool>,
}

/// Anybody can make requests that fail during an outage. So many ids are shown and logged in a second, and at once.
static SHOWN: LazyLock<DefaultDirectRateLimiter> = LazyLock::new(|| {
    RateLimiter::direct(Quota::per_second(SHOWN_PER_SECOND).allow_burst(SHOWN_AT_ONCE))
});
const SHOWN_PER_SECOND: NonZeroU32 = NonZeroU32::new(5).unwrap();
const SHOWN_AT_ONCE: NonZeroU32 = NonZeroU32::new(200).unwrap();

task_local! {
    static CURRENT: Current;
}

impl Current {
    pub(super) fn new(id: HeaderValue, request: &Request) -> Self {
        let trace = Incoming::of(request.headers());
        Self(Arc::new(Known {
            id,
            trace,
            has_failed: AtomicBool::new(false),
            is_logged: OnceLock::new(),
        }))
    }

    fn show(&self) -> Option<String> {
        let id = self.0.id.to_str().ok()?;
        let is_logged = self.0.is_logged.get_or_init(|| {
            let is_logged = SHOWN.check().is_ok();
            if is_logged {
                info!(
                    "the request failed, and its id was shown; an outage then has a line of its own"
                );
            }
            is_logged
        });
        is_logged.then(|| id.to_owned())
    }

    pub(super) async fn answer<T>(self, answering: impl Future<Output = T>) -> T {
        CURRENT.scope(self, answering).await
    }
}

/// The id of the request, for somebody whom it failed. The log has a line with it then, since the cause may only be logged once for
/// many requests. None if this is not done for a request, and beyond what the log takes.
pub(crate) fn shown_id() -> Option<String> {
    CURRENT.try_with(Current::show).ok().flatten()
}

/// A part of the request failed, for a reason that is in the log: the answer should say which request it was.
pub(crate) fn note_failure() {
    let _ = CURRENT.try_with(|current| current.0.has_failed.store(true, Ordering::Relaxed));
}

pub(crate) fn has_failed() -> bool {
    let noted = CURRENT.try_with(|current| current.0.has_failed.load(Ordering::Relaxed));
    noted.unwrap_or_default()
}

/// Work for this request that continues in a task of its own.
pub(crate) fn for_request<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let current = CURRENT.try_with(Clone::clone).ok();
    let work = work.instrument(Span::current());
    async move {
        match current {
            Some(current) => current.answer(work).await,
            None => work.await,
        }
    }
}

/// Continues the trace in a request of ours to a program that takes part in it.
pub(crate) fn pass_trace_on(headers: &mut HeaderMap) {
    if trace::continue_in(headers) {
        return;
    }
    // Without spans of our own, the next program follows the one before.
    let _ = CURRENT.try_with(|current| current.0.trace.pass_on(headers));
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Current, for_request, pass_trace_on, shown_id};

    #[tokio::test]
    async fn work_after_the_request_knows_it() -> Result<(), Box<dyn std::error::Error>> {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let request = Request::builder()
            .header("traceparent", parent)
            .header("tracestate", "vendor=1")
            .body(Body::empty())?;
        let current = Current::new(HeaderValue::from_static("told-1"), &request);
        let seen = || {
            let mut headers = HeaderMap::new();
            pass_trace_on(&mut headers);
            let of = |name: &str| {
                headers
                    .get(name)
                    .and_then(|it| it.to_str().ok().map(str::to_owned))
            };
            (shown_id(), of("traceparent"), of("tracestate"))
        };
        let expected = ["told-1", parent, "vendor=1"]
            .map(|it| Some(it.to_owned()))
            .into();
        let later = current.answer(async {
            assert_eq!(seen(), expected);
            let later = tokio::spawn(for_request(async move { seen() }));
            later.await
        });
        let seen_later = later.await?;
        assert_eq!(seen_later, expected);
        assert_eq!(seen(), (None, None, None));
        Ok(())
    }
}
