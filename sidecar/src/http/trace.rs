//! The trace that a proxy has begun, as in W3C's Trace Context: requests continue it, the log names it, and what is passed on to GitLab
//! belongs to it.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tracing::Span;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The headers of a trace in a request.
#[derive(Default)]
pub(super) struct Incoming(Option<(HeaderValue, Option<HeaderValue>)>);

impl Incoming {
    /// Nothing unless they have the form of version 00.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let parent = headers.get(TRACEPARENT);
        let parent = parent.filter(|it| trace_id(it.as_bytes()).is_some());
        let state = || headers.get(TRACESTATE).cloned();
        Self(parent.map(|parent| (parent.clone(), state())))
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

        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
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
    use super::trace_id;

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
