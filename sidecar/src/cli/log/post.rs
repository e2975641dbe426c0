//! Sends what others have encoded, and says so in the log if it is not taken: once at the start, once a minute, once at the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::runtime::Handle;
#[cfg(feature = "sentry")]
use tokio::time::timeout;
#[cfg(feature = "sentry")]
use tokio_util::task::TaskTracker;
use url::Url;

use crate::error::Error;
use crate::http::HttpClient;
use crate::outage::Outage;

pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Answers tell at most why something was refused.
const LARGEST: usize = 64 << 10;

/// One server, from any thread.
#[derive(Clone)]
pub(super) struct Post {
    /// For the log.
    peer: &'static str,
    client: HttpClient,
    runtime: Handle,
    outage: Arc<Outage>,
    /// What nobody waits for until the end.
    #[cfg(feature = "sentry")]
    sending: TaskTracker,
}

impl Post {
    pub(super) fn new(peer: &'static str, base: &Url) -> Result<Self, Error> {
        Ok(Self {
            peer,
            client: HttpClient::new(base, PATIENCE / 2, PATIENCE)?,
            runtime: Handle::current(),
            outage: Arc::default(),
            #[cfg(feature = "sentry")]
            sending: TaskTracker::new(),
        })
    }

    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let begun = Instant::now();
        let answered = self.exchange(request).await;
        match &answered {
            Ok(answer) if answer.status().is_success() => {
                self.outage.answered(|| self.peer.to_owned(), begun);
            }
            Ok(answer) => self
                .outage
                .failed(self.peer, &format!("refused: {}", answer.status())),
            Err(error) => self.outage.failed(self.peer, error),
        }
        answered
    }

    async fn exchange(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let client = self.client.clone();
        let sending = self.runtime.spawn(async move {
            let request = request.map(Full::new);
            client.exchange(request, PATIENCE, LARGEST).await
        });
        let answer = sending.await.map_err(|error| error.to_string())?;
        let answer = answer.map_err(|error| error.to_string())?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        Ok(response)
    }

    /// Without waiting for an answer.
    #[cfg(feature = "sentry")]
    pub(super) fn send_later(&self, request: Request<Bytes>) {
        let post = self.clone();
        let sending = async move { post.send(request).await.map(drop) };
        self.sending.spawn_on(sending, &self.runtime);
    }

    /// Waits for what was sent last.
    #[cfg(feature = "sentry")]
    pub(super) async fn end(self) {
        self.sending.close();
        if timeout(PATIENCE, self.sending.wait()).await.is_err() {
            let left = self.sending.len();
            tracing::warn!(peer = self.peer, left, "the last ones were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io::{Read, pipe};
    use std::sync::Arc;

    use axum::http::Request;
    use hyper::body::Bytes;
    use tracing::subscriber::set_default;
    use tracing_subscriber::fmt;

    use super::Post;
    use crate::cli::log::collector;

    #[tokio::test]
    async fn what_is_not_taken_is_told_once() -> Result<(), Box<dyn Error>> {
        let (mut log, writer) = pipe()?;
        let writer = Arc::new(writer);
        let logging = set_default(fmt().with_ansi(false).with_writer(writer).finish());
        let (base, _requests) = collector::refusing(3)?;
        let post = Post::new("the collector", &base.parse()?)?;
        for status in [503, 503, 503, 200, 200] {
            let request = Request::post(&base).body(Bytes::new())?;
            assert_eq!(post.send(request).await?.status().as_u16(), status);
        }
        let mut told = String::new();
        drop(logging);
        log.read_to_string(&mut told)?;
        assert_eq!(told.lines().count(), 2, "{told}");
        for words in [
            "WARN",
            "the collector",
            "503",
            "answers again",
            "failures=3",
        ] {
            assert!(told.contains(words), "{words}: {told}");
        }
        Ok(())
    }
}
