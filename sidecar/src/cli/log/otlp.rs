//! Spans of requests, jobs and messages, with the calls of the database and of Slack in them, as OTLP over HTTP. The environment says
//! where to and how: the variables are OpenTelemetry's own.

use std::env;
use std::fmt;

use async_trait::async_trait;
use axum::http::{Request, Response};
use hyper::body::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::task::spawn_blocking;
use tracing::{Metadata, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use super::post::{PATIENCE, Post};

const NAME: &str = "lockstep-sidecar";

pub(super) struct Spans(SdkTracerProvider);

impl Spans {
    /// None if nobody wants them.
    pub(super) fn from_environment() -> Option<Result<Self, String>> {
        let of = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let (own, common) = (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        );
        let (variable, endpoint) = of(own).map(|endpoint| (own, endpoint)).or_else(|| {
            let base = of(common)?;
            Some((common, format!("{}/v1/traces", base.trim_end_matches('/'))))
        })?;
        let name = of("OTEL_SERVICE_NAME");
        // Not its value, which may have a password in it.
        Some(Self::new(&endpoint, name).map_err(|error| format!("{variable}: {error}")))
    }

    fn new(endpoint: &str, name: Option<String>) -> Result<Self, String> {
        let base = Url::parse(endpoint).map_err(|error| error.to_string())?;
        let post = Post::new("the collector of spans", &base).map_err(|error| error.report())?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_http_client(Exporter(post))
            .build()
            .map_err(|error| error.to_string())?;
        let resource = Resource::builder()
            .with_service_name(name.unwrap_or_else(|| NAME.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .build();
        Ok(Self(provider))
    }

    pub(super) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer(NAME))
            .with_location(false)
            .with_threads(false)
            // Events have texts, of which some are people's: they are for the log.
            .with_filter(filter_fn(is_wanted))
    }

    /// Sends the last ones, which takes a thread of its own to wait.
    pub(super) async fn end(self) {
        let ending = spawn_blocking(move || self.0.shutdown_with_timeout(PATIENCE));
        if let Ok(Err(error)) = ending.await {
            warn!(%error, "the last spans were not sent");
        }
    }
}

fn is_wanted(of: &Metadata<'_>) -> bool {
    of.is_span() && of.target().starts_with("lockstep_sidecar")
}

struct Exporter(Post);

impl fmt::Debug for Exporter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Exporter")
    }
}

#[async_trait]
impl HttpClient for Exporter {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        Ok(self.0.send(request).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tracing::subscriber::with_default;
    use tracing::{debug_span, info_span, warn};
    use tracing_subscriber::layer::SubscriberExt;
    use tracing_subscriber::registry;

    use super::Spans;
    use crate::cli::log::collector;

    #[tokio::test]
    async fn a_password_in_the_address_is_not_told() {
        for wrong in [
            "http://ada:s3cret@[",
            "ada:s3cret@collector",
            "nope://ada:s3cret@collector",
        ] {
            let error = Spans::new(wrong, None).err().unwrap_or_default();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn spans_are_sent_and_texts_are_not() -> Result<(), Box<dyn Error>> {
        let (base, bodies) = collector::start()?;
        let spans = Spans::new(&format!("{base}/v1/traces"), Some("mine".to_owned()))?;
        with_default(registry().with(spans.layer()), || {
            let request = info_span!(target: "lockstep_sidecar::http", "request", id = "7");
            request.in_scope(|| {
                debug_span!(target: "lockstep_sidecar::database", "database", function = "status_report").in_scope(|| ());
                debug_span!(target: "hyper", "foreign").in_scope(|| ());
                warn!(target: "lockstep_sidecar::http", "Boil the water");
            });
        });
        spans.end().await;
        let (head, body) = bodies.recv_timeout(collector::PATIENCE)?;
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        for words in ["request", "database", "status_report", "mine"] {
            assert!(body.contains(words), "{words}: {body}");
        }
        for words in ["foreign", "Boil"] {
            assert!(!body.contains(words), "{words}: {body}");
        }
        Ok(())
    }
}
