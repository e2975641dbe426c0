//! Why a request is not accepted as GitLab's, and the headers that decide.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// Why a request is not accepted as GitLab's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::notification::hook) enum Refusal {
    /// No secret is configured.
    Closed,
    Unsigned,
    Stale,
    Forged,
}

impl Refusal {
    pub(in crate::notification::hook) fn reason(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Unsigned => "unsigned",
            Self::Stale => "stale",
            Self::Forged => "forged",
        }
    }
}

/// The value of a header that occurs exactly once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}
