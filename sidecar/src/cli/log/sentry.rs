//! Failures, sent to Sentry: what kind of thing failed and how, and no text of anybody (see [`crate::alarm`]).

use std::env;
use std::sync::Arc;

use axum::http::Request;
use axum::http::header::CONTENT_TYPE;
use hyper::body::Bytes;
use sentry::types::Dsn;
use sentry::{
    ClientInitGuard, ClientOptions, Envelope, Transport, TransportFactory, TransportOptions,
};
use tracing::warn;
use url::Url;

use super::post::Post;
use crate::error::Error;

/// Failures are sent until this ends.
pub(super) struct Failures {
    client: ClientInitGuard,
    post: Post,
}

impl Failures {
    /// None if nobody wants them.
    pub(super) fn from_environment() -> Option<Self> {
        let dsn = env::var("SENTRY_DSN").ok().filter(|dsn| !dsn.is_empty())?;
        match dsn.parse().map(Self::new) {
            Ok(made) => made
                .inspect_err(|error| warn!(error = %error.report(), "failures are not sent"))
                .ok(),
            Err(_) => {
                // It has a key in it.
                warn!("SENTRY_DSN is no address of a project: failures are not sent");
                None
            }
        }
    }

    fn new(dsn: Dsn) -> Result<Self, Error> {
        let post = Post::new("Sentry", &dsn.envelope_api_url())?;
        let mut options = ClientOptions::new();
        options.dsn = Some(dsn);
        options.release = Some(concat!("lockstep-sidecar@", env!("CARGO_PKG_VERSION")).into());
        options.environment = env::var("SENTRY_ENVIRONMENT").ok().map(Into::into);
        options.transport = Some(Arc::new(Factory(post.clone())));
        // Names of machines, backtraces and requests are nobody else's business.
        options.default_integrations = false;
        options.attach_stacktrace = false;
        options.send_default_pii = false;
        Ok(Self {
            client: sentry::init(options),
            post,
        })
    }

    /// Waits for the last ones.
    pub(super) async fn end(self) {
        drop(self.client);
        self.post.end().await;
    }
}

struct Factory(Post);

impl TransportFactory for Factory {
    fn create_transport_with_options(&self, options: TransportOptions) -> Arc<dyn Transport> {
        Arc::new(Envelopes {
            post: self.0.clone(),
            auth: options.dsn.to_auth(Some(&options.user_agent)).to_string(),
            url: options.dsn.envelope_api_url(),
        })
    }
}

struct Envelopes {
    post: Post,
    url: Url,
    auth: String,
}

impl Transport for Envelopes {
    fn send_envelope(&self, envelope: Envelope) {
        let mut body = Vec::new();
        let written = envelope.to_writer(&mut body);
        let request = Request::post(self.url.as_str())
            .header(CONTENT_TYPE, "application/x-sentry-envelope")
            .header("x-sentry-auth", &self.auth)
            .body(Bytes::from(body));
        if let (Ok(()), Ok(request)) = (written, request) {
            self.post.send_later(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::Failures;
    use crate::alarm::raise;
    use crate::cli::log::collector;

    #[tokio::test]
    async fn failures_are_told_by_name_alone() -> Result<(), Box<dyn Error>> {
        let (base, bodies) = collector::start()?;
        let dsn = format!("{}/42", base.replace("http://", "http://key@"));
        let failures = Failures::new(dsn.parse()?)?;
        let names = [
            ("worker", "Integrations::IrkerWorker"),
            ("error_class", "IrkerdError"),
            ("error", "Ada wrote: boil the water"),
        ];
        raise("a job failed", &names);
        failures.end().await;
        // Nothing is sent any more: while this thread waits, it runs nothing else.
        let (head, body) = bodies.recv_timeout(collector::PATIENCE)?;
        assert!(head.starts_with("POST /api/42/envelope/ "), "{head}");
        assert!(head.contains("sentry_key=key"), "{head}");
        for words in ["a job failed", "Integrations::IrkerWorker", "IrkerdError"] {
            assert!(body.contains(words), "{words}: {body}");
        }
        assert!(!body.contains("water"), "{body}");
        Ok(())
    }
}
