//! What leaves the process about what it does: the log on stderr, as lines for people or objects for programs; spans (`otlp`) and
//! failures (`sentry`), where the program was built with them and somebody wants them.

#[cfg(all(test, any(feature = "otlp", feature = "sentry")))]
mod collector;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(any(feature = "otlp", feature = "sentry"))]
mod post;
#[cfg(feature = "sentry")]
mod sentry;

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing::warn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt, registry};

/// Ends when the program does.
pub(super) struct Log {
    #[cfg(feature = "otlp")]
    spans: Option<otlp::Spans>,
    #[cfg(feature = "sentry")]
    failures: Option<sentry::Failures>,
}

/// Called inside the runtime, which sends spans and failures.
pub(super) fn begin(is_quiet: bool, is_json: bool) -> Log {
    let level = match is_quiet {
        true => LevelFilter::ERROR,
        false => LevelFilter::INFO,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into());
    let log = fmt::layer()
        // If nobody reads the log any more, the work must continue.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let log = match is_json {
        false => log.with_ansi(std::io::stderr().is_terminal()).boxed(),
        true => log.json().flatten_event(true).boxed(),
    };
    let all = registry().with(log.with_filter(filter.from_env_lossy()));
    #[cfg(feature = "otlp")]
    let spans = otlp::Spans::from_environment();
    #[cfg(feature = "otlp")]
    let all = all.with(
        spans
            .as_ref()
            .and_then(|spans| spans.as_ref().ok())
            .map(otlp::Spans::layer),
    );
    all.init();
    for (variable, feature, is_built_in) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "otlp",
            cfg!(feature = "otlp"),
        ),
        ("SENTRY_DSN", "sentry", cfg!(feature = "sentry")),
    ] {
        if !is_built_in && std::env::var_os(variable).is_some_and(|it| !it.is_empty()) {
            warn!(
                variable,
                feature, "ignored: this program was built without the feature"
            );
        }
    }
    Log {
        #[cfg(feature = "otlp")]
        spans: spans.and_then(|spans| {
            spans
                .inspect_err(|error| warn!(%error, "spans are not sent"))
                .ok()
        }),
        #[cfg(feature = "sentry")]
        failures: sentry::Failures::from_environment(),
    }
}

impl Log {
    /// Sends what is left.
    pub(super) async fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = self.spans {
            spans.end().await;
        }
        #[cfg(feature = "sentry")]
        if let Some(failures) = self.failures {
            failures.end().await;
        }
    }
}
