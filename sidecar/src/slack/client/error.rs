//! Errors of calls.

use std::time::Duration;

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CallError {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Unreachable(String),

    /// No response: Slack may have processed it or not.
    #[error("no answer: {0}")]
    Unanswered(String),

    #[error("too many calls, for {} s", .0.as_secs())]
    RateLimited(Duration),

    #[error("status {0}")]
    Status(u16),

    #[error("a response that is not Slack's")]
    Garbled,

    /// Slack's own error code.
    #[error("{name}{}", and_needs(.needed.as_deref()))]
    Refused {
        name: String,
        needed: Option<String>,
    },

    #[error("not a URL that Slack takes replies at")]
    ForeignUrl,
}

fn and_needs(scope: Option<&str>) -> String {
    scope
        .map(|scope| format!(", needs {scope}"))
        .unwrap_or_default()
}

impl CallError {
    /// Whether the same call may succeed later, according to Slack.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unanswered(_) | Self::RateLimited(_) | Self::Garbled => {
                true
            }
            Self::Status(status) => *status >= 500 || TIMED_OUT.contains(status),
            Self::Refused { name, .. } => TRANSIENT.contains(&name.as_str()),
            Self::ForeignUrl => false,
        }
    }

    /// Whether Slack is away: it does not answer, or not as Slack.
    pub(crate) fn is_outage(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unanswered(_) | Self::Garbled => true,
            Self::Status(status) => *status >= 500,
            Self::RateLimited(_) | Self::Refused { .. } | Self::ForeignUrl => false,
        }
    }

    /// What it is counted as.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Unanswered(_) => "unanswered",
            Self::RateLimited(_) => "rate_limited",
            other if other.is_lost_installation() => "lost_installation",
            other if other.is_transient() => "transient",
            _ => "refused",
        }
    }

    /// Whether the workspace has to install the app again.
    pub(crate) fn is_lost_installation(&self) -> bool {
        matches!(self, Self::Refused { name, .. } if LOST.contains(&name.as_str()))
    }
}

/// The request did not arrive in time, or too early.
const TIMED_OUT: [u16; 2] = [408, 425];

const TRANSIENT: [&str; 6] = [
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "org_login_required",
];

const LOST: [&str; 7] = [
    "account_inactive",
    "invalid_auth",
    "not_authed",
    "token_revoked",
    "missing_scope",
    "no_permission",
    "invalid_refresh_token",
];

#[cfg(test)]
mod tests {
    use super::CallError;

    #[test]
    fn errors_of_slack_are_told_apart() {
        let refused = |name: &str| CallError::Refused {
            name: name.to_owned(),
            needed: None,
        };
        assert!(
            refused("internal_error").is_transient()
                && !refused("internal_error").is_lost_installation()
        );
        assert!(
            refused("token_revoked").is_lost_installation()
                && !refused("token_revoked").is_transient()
        );
        for (status, is_transient) in [
            (400, false),
            (408, true),
            (413, false),
            (425, true),
            (503, true),
        ] {
            assert_eq!(
                CallError::Status(status).is_transient(),
                is_transient,
                "{status}"
            );
        }
        let needs = CallError::Refused {
            name: "missing_scope".to_owned(),
            needed: Some("chat:write".to_owned()),
        };
        assert_eq!(needs.to_string(), "missing_scope, needs chat:write");
    }
}
