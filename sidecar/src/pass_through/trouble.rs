//! Errors of passed-on requests, and what users see: what happened to their request, and what the operator can do.

use std::time::Duration;

use crate::http::{ExchangeError, shown_id};
use crate::slack::Reply;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Our own limit.
    #[error("too many requests wait for it")]
    Busy,

    #[error("cannot connect: {0}")]
    Unreachable(String),

    #[error("its response broke off: {0}")]
    BrokenOff(String),

    #[error("no answer within {} s", .0.as_secs())]
    Slow(Duration),

    /// A response that Slack would not accept.
    #[error("status {0}")]
    Status(u16),

    #[error("an answer larger than 1 MiB")]
    TooLarge,

    #[error("an answer that is not JSON")]
    Garbled,

    #[error("its address leads back to this program")]
    Circle,

    #[error("this program was stopped in the meantime")]
    Stopped,
}

impl Trouble {
    pub(super) fn of(error: ExchangeError, patience: Duration) -> Self {
        match error {
            ExchangeError::Unreachable(why) => Self::Unreachable(why),
            ExchangeError::Unanswered(why) => Self::BrokenOff(why),
            ExchangeError::TooSlow => Self::Slow(patience),
            ExchangeError::TooLarge => Self::TooLarge,
        }
    }

    /// The label for counting.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Unreachable(_) => "unreachable",
            Self::BrokenOff(_) => "broken_off",
            Self::Slow(_) => "too_slow",
            Self::Status(401) => "unsigned",
            Self::Status(403) => "forbidden",
            Self::Status(404) => "not_found",
            Self::Status(300..=399) => "redirect",
            Self::Status(500..) => "failed",
            Self::Status(_) => "refused",
            Self::TooLarge => "too_large",
            Self::Garbled => "garbled",
            Self::Circle => "circle",
            Self::Stopped => "stopped",
        }
    }

    /// One line, for the user.
    fn brief(&self) -> String {
        let (what, is_done) = match self {
            Self::Busy => (
                "Too many requests are waiting for GitLab.".to_owned(),
                false,
            ),
            Self::Unreachable(_) => ("GitLab cannot be reached at the moment.".to_owned(), false),
            Self::Circle => ("GitLab's address leads back to this app.".to_owned(), false),
            Self::Status(status @ ..500) => {
                (format!("GitLab refused it (status {status})."), false)
            }
            Self::Status(status) => (format!("GitLab failed (status {status})."), true),
            Self::BrokenOff(_) => ("GitLab's response broke off.".to_owned(), true),
            Self::Slow(patience) => (
                format!("GitLab has not answered within {} s.", patience.as_secs()),
                true,
            ),
            Self::TooLarge | Self::Garbled => {
                ("GitLab's response is not valid for Slack.".to_owned(), true)
            }
            Self::Stopped => (
                "The app was stopped before GitLab had answered.".to_owned(),
                true,
            ),
        };
        match is_done {
            true => {
                format!("{what} Your request may be done or not: check before you try again.")
            }
            false => format!("{what} Nothing was done; try again later."),
        }
    }

    /// The same where there is no markup.
    pub(super) fn in_modal(&self) -> String {
        match shown_id() {
            Some(id) => format!("{} (request {id})", self.brief()),
            None => self.brief(),
        }
    }

    /// What the operator can do.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Busy | Self::Slow(_) => "GitLab is slower than usual: check its logs and load.",
            Self::Unreachable(_) => {
                "check that GitLab runs, and that this program can reach --gitlab-url; lockstep-sidecar check tries it."
            }
            Self::BrokenOff(_) | Self::Status(500..) => "see GitLab's logs.",
            Self::Status(401) => {
                "GitLab has the signing secret of another Slack app, or its clock is more than a minute off."
            }
            Self::Status(403) => {
                "GitLab, or a proxy in front of it, blocks this program's address: add it to the allow-list."
            }
            Self::Status(404) => {
                "GitLab has another verification token than this Slack app, or its allow-list lacks this program's address, or --gitlab-url is not GitLab."
            }
            Self::Status(429) => {
                "GitLab's rate limits treat this program as one user: exempt its address."
            }
            Self::Status(300..=399) => {
                "--gitlab-url redirects elsewhere, and redirects are not followed: use GitLab's own address."
            }
            Self::Status(_) => "see GitLab's logs, if --gitlab-url is GitLab.",
            Self::TooLarge | Self::Garbled => {
                "something else may respond at --gitlab-url, such as a sign-in page in front of GitLab."
            }
            Self::Circle => "--gitlab-url must be the address of GitLab itself.",
            Self::Stopped => return None,
        })
    }

    /// For the user and for the operator.
    fn in_full(&self) -> String {
        let brief = self.brief();
        match self.hint() {
            Some(hint) => format!(":warning: {brief}\n_For the app's operator:_ {hint}"),
            None => format!(":warning: {brief}"),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::failed(self.in_full())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Trouble;

    #[test]
    fn whoever_runs_it_learns_what_to_do() {
        for (trouble, label, says, hints) in [
            (
                Trouble::Status(404),
                "not_found",
                "Nothing was done",
                "verification token",
            ),
            (
                Trouble::Status(403),
                "forbidden",
                "Nothing was done",
                "allow-list",
            ),
            (
                Trouble::Status(401),
                "unsigned",
                "Nothing was done",
                "signing secret",
            ),
            (
                Trouble::Status(302),
                "redirect",
                "Nothing was done",
                "redirects elsewhere",
            ),
            (
                Trouble::Status(429),
                "refused",
                "Nothing was done",
                "rate limits",
            ),
            (Trouble::Status(502), "failed", "done or not", "logs"),
            (
                Trouble::Unreachable(String::new()),
                "unreachable",
                "Nothing was done",
                "check",
            ),
            (
                Trouble::Slow(Duration::from_secs(30)),
                "too_slow",
                "within 30 s",
                "slower",
            ),
            (Trouble::Garbled, "garbled", "done or not", "sign-in page"),
        ] {
            let reply = trouble.reply();
            assert_eq!(trouble.label(), label);
            for words in [says, hints] {
                assert!(reply.text().contains(words), "{words}: {}", reply.text());
            }
        }
    }
}
