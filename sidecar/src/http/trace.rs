//! The trace that a proxy has begun, as in W3C's Trace Context: requests continue it, the log names it, and what is passed on to GitLab
//! belongs to it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Span;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const LONGEST_STATE: usize = 512;

/// The headers of a trace in a request.
#[derive(Default)]
pub(super) struct Incoming(Option<(HeaderValue, Option<HeaderValue>)>);

impl Incoming {
    /// Nothing unless they have the form of version 00.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let parent = headers.get(TRACEPARENT);
        let parent = parent.filter(|it| trace_id(it.as_bytes()).is_some());
        Self(parent.map(|parent| (parent.clone(), state_of(headers))))
    }

    pub(super) fn pass_on(&self, headers: &mut HeaderMap) {
        if let Some((parent, state)) = &self.0 {
            headers.insert(TRACEPARENT, parent.clone());
            if let Some(state) = state {
                headers.insert(TRACESTATE, state.clone());
            }
        }
    }
}

/// Makes the current span the parent of what the receiver does. False if there are no spans.
pub(super) fn continue_in(headers: &mut HeaderMap) -> bool {
    #[cfg(feature = "otlp")]
    {
        use opentelemetry::propagation::TextMapPropagator;
        use opentelemetry::trace::TraceContextExt;
        use opentelemetry_http::HeaderInjector;
        use opentelemetry_sdk::propagation::TraceContextPropagator;
        use tracing_opentelemetry::OpenTelemetrySpanExt;

        let context = Span::current().context();
        let is_valid = context.span().span_context().is_valid();
        if is_valid {
            TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(headers));
        }
        is_valid
    }
    #[cfg(not(feature = "otlp"))]
    {
        let _ = headers;
        false
    }
}

/// All of `tracestate`, which may be in several headers; none if it is longer than the standard asks anybody to pass on.
fn state_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let states = headers.get_all(TRACESTATE).iter();
    let states: Vec<&str> = states.map(|it| it.to_str().ok()).collect::<Option<_>>()?;
    let state = states.join(",");
    (1..=LONGEST_STATE)
        .contains(&state.len())
        .then(|| HeaderValue::from_str(&state).ok())?
}

pub(super) fn begin(span: &Span, headers: &HeaderMap, route: &str) {
    if let Some(id) = headers
        .get(TRACEPARENT)
        .and_then(|it| trace_id(it.as_bytes()))
    {
        span.record("trace_id", id);
    }
    #[cfg(feature = "otlp")]
    {
        use opentelemetry::propagation::TextMapPropagator;
        use opentelemetry_http::HeaderExtractor;
        use opentelemetry_sdk::propagation::TraceContextPropagator;
        use tracing_opentelemetry::OpenTelemetrySpanExt;

        let mut checked = HeaderMap::new();
        Incoming::of(headers).pass_on(&mut checked);
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(&checked));
        // An error means that nobody wants spans.
        let _ = span.set_parent(parent);
        span.set_attribute("http.route", route.to_owned());
    }
    #[cfg(not(feature = "otlp"))]
    let _ = route;
}

pub(super) fn end(span: &Span, status: StatusCode) {
    #[cfg(feature = "otlp")]
    {
        use opentelemetry::trace::Status;
        use tracing_opentelemetry::OpenTelemetrySpanExt;

        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.set_status(Status::error(""));
        }
    }
    #[cfg(not(feature = "otlp"))]
    let _ = (span, status);
}

/// The id, if the header has the form of version 00.
fn trace_id(header: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(header).ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let [version, id, parent, flags] = *parts else {
        return None;
    };
    let is_hex = |text: &str, length: usize| {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        text.len() == length && text.bytes().all(is_digit)
    };
    let is_some = |text: &str| text.bytes().any(|byte| byte != b'0');
    (version == "00"
        && is_hex(id, 32)
        && is_some(id)
        && is_hex(parent, 16)
        && is_some(parent)
        && is_hex(flags, 2))
    .then_some(id)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue};

    use super::{Incoming, LONGEST_STATE, trace_id};

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn headers(states: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_static(PARENT));
        for state in states {
            headers.append(
                "tracestate",
                HeaderValue::from_str(state).unwrap_or_else(|error| unreachable!("{error}")),
            );
        }
        headers
    }

    #[test]
    fn the_whole_state_is_passed_on_unless_it_is_long() {
        let passed_on = |states: &[&str]| {
            let mut passed_on = HeaderMap::new();
            Incoming::of(&headers(states)).pass_on(&mut passed_on);
            assert_eq!(passed_on["traceparent"], PARENT);
            let state = passed_on.get("tracestate")?;
            state.to_str().ok().map(str::to_owned)
        };
        assert_eq!(passed_on(&["a=1", "b=2"]).as_deref(), Some("a=1,b=2"));
        let long = format!("a={}", "x".repeat(LONGEST_STATE));
        for none in [&[][..], &[""], &[&long], &["a=1", "b=\u{e9}"]] {
            assert_eq!(passed_on(none), None, "{none:?}");
        }
    }

    /// GitLab continues the trace as a child of our span.
    #[cfg(feature = "otlp")]
    #[test]
    fn a_span_is_the_parent_of_what_follows() {
        use opentelemetry::trace::TracerProvider;
        use opentelemetry_sdk::trace::SdkTracerProvider;
        use tracing::subscriber::with_default;
        use tracing::{field, info_span};
        use tracing_subscriber::layer::SubscriberExt;
        use tracing_subscriber::registry;

        use super::{begin, continue_in};

        let tracer = SdkTracerProvider::builder().build().tracer("tests");
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        let mut sent = HeaderMap::new();
        with_default(registry().with(layer), || {
            let span = info_span!("request", trace_id = field::Empty);
            begin(&span, &headers(&["a=1", "b=2"]), "/");
            assert!(span.in_scope(|| continue_in(&mut sent)));
        });
        let parent = sent["traceparent"].to_str().unwrap_or_default();
        assert_eq!(trace_id(parent.as_bytes()), trace_id(PARENT.as_bytes()));
        assert_ne!(parent, PARENT);
        assert_eq!(sent["tracestate"], "a=1,b=2");
        // Without a span the request's own headers are passed on.
        assert!(!continue_in(&mut HeaderMap::new()));
    }

    #[test]
    fn a_trace_has_the_form_of_the_standard() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let header = |id: &str| format!("00-{id}-b7ad6b7169203331-01");
        assert_eq!(trace_id(header(id).as_bytes()), Some(id));
        for wrong in [
            "",
            id,
            &header(&id.to_uppercase()),
            &header(&"0".repeat(32)),
            &header(&id[1..]),
            &header("0af7651916cd43dd8448eb211c80319\n"),
            &format!("01-{id}-b7ad6b7169203331-01"),
            &format!("00-{id}-0000000000000000-01"),
            &format!("00-{id}-b7ad6b7169203331-01-x"),
        ] {
            assert_eq!(trace_id(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
