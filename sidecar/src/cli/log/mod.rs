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

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing::{error, warn};
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
    std::panic::set_hook(Box::new(log_panic));
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

/// In the format of the log, with the request.
fn log_panic(bug: &PanicHookInfo<'_>) {
    let text = bug.payload_as_str();
    let place = bug.location().map(tracing::field::display);
    let backtrace = Backtrace::capture();
    let is_captured = backtrace.status() == BacktraceStatus::Captured;
    let backtrace = is_captured.then(|| tracing::field::display(backtrace));
    error!(text, place, backtrace, "a bug");
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex, PoisonError};

    use tracing::info_span;
    use tracing::subscriber::with_default;
    use tracing_subscriber::fmt;

    use super::log_panic;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_bug_is_a_line_of_the_log_with_its_request() {
        let lines = Lines::default();
        let writer = lines.clone();
        let log = fmt().json().with_writer(move || writer.clone()).finish();
        let before = take_hook();
        set_hook(Box::new(log_panic));
        with_default(log, || {
            info_span!("request", id = "told-1").in_scope(|| {
                let bug = catch_unwind(|| unreachable!("boiled"));
                assert!(bug.is_err());
            });
        });
        set_hook(before);
        let lines = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<serde_json::Value> = String::from_utf8_lossy(&lines)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_default())
            .collect();
        let [line] = lines.as_slice() else {
            unreachable!("{lines:?}");
        };
        let text = line["fields"]["text"].as_str().unwrap_or_default();
        assert!(text.contains("boiled"), "{line}");
        assert_eq!(line["span"]["id"], "told-1");
    }
}
