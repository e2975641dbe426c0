//! Sends what others have encoded.

use std::time::Duration;

use axum::http::{Request, Response};
use http_body_util::Full;
use hyper::body::Bytes;
use tokio::runtime::Handle;
use url::Url;

use crate::error::Error;
use crate::http::HttpClient;

const PATIENCE: Duration = Duration::from_secs(10);

/// Answers tell at most why something was refused.
const LARGEST: usize = 64 << 10;

/// One server, from any thread.
#[derive(Clone)]
pub(super) struct Post {
    client: HttpClient,
    runtime: Handle,
}

impl Post {
    pub(super) fn new(base: &Url) -> Result<Self, Error> {
        Ok(Self {
            client: HttpClient::new(base, PATIENCE / 2, PATIENCE)?,
            runtime: Handle::current(),
        })
    }

    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
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
        self.runtime.spawn(async move {
            match post.send(request).await {
                Ok(answer) if answer.status().is_success() => {}
                Ok(answer) => {
                    tracing::debug!(status = answer.status().as_u16(), "a failure was not taken")
                }
                Err(error) => tracing::debug!(error, "a failure was not sent"),
            }
        });
    }
}
