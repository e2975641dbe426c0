//! Errors of passed-on requests, and what users are told: what happened to their request, and what the operator can do.

use std::time::Duration;

use crate::http::ExchangeError;
use crate::slack::Reply;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Trouble {
    /// Our own limit.
    #[error("too many requests wait for it")]
    Busy,

    #[error("cannot connect: {0}")]
    Unreachable(String),

    #[error("it broke off: {0}")]
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

    #[error("this program was stopped meanwhile")]
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
    pub(super) fn brief(&self) -> String {
        let (what, is_done) = match self {
            Self::Busy => ("Too many requests wait for GitLab now.".to_owned(), false),
            Self::Unreachable(_) => ("GitLab cannot be reached now.".to_owned(), false),
            Self::Circle => ("GitLab's address leads back to this app.".to_owned(), false),
            Self::Status(status @ ..500) => {
                (format!("GitLab refused it (status {status})."), false)
            }
            Self::Status(status) => (format!("GitLab failed (status {status})."), true),
            Self::BrokenOff(_) => ("GitLab broke off its answer.".to_owned(), true),
            Self::Slow(patience) => (
                format!("GitLab has not answered within {} s.", patience.as_secs()),
                true,
            ),
            Self::TooLarge | Self::Garbled => {
                ("GitLab's answer is none that Slack takes.".to_owned(), true)
            }
            Self::Stopped => (
                "The app was stopped before GitLab had answered.".to_owned(),
                true,
            ),
        };
        match is_done {
            true => {
                format!("{what} What you asked for may be done or not: look before you try again.")
            }
            false => format!("{what} Nothing was done; try again later."),
        }
    }

    /// What the operator can do.
    pub(crate) fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Busy | Self::Slow(_) => {
                "GitLab is slower than usual: its logs and load tell why."
            }
            Self::Unreachable(_) => {
                "look whether GitLab runs, and whether this program reaches the address of --gitlab-url; lockstep-sidecar check tries it."
            }
            Self::BrokenOff(_) | Self::Status(500..) => "GitLab's logs tell why.",
            Self::Status(401) => {
                "GitLab's signing secret is that of another Slack app, or its clock is more than a minute off."
            }
            Self::Status(403) => {
                "GitLab, or what stands in front of it, does not let this program's address in: add it to the allow-list."
            }
            Self::Status(404) => {
                "GitLab's verification token is not that of this Slack app, or its allow-list lacks this program's address, or --gitlab-url is not GitLab."
            }
            Self::Status(429) => {
                "GitLab's rate limits take this program for one user: exempt its address."
            }
            Self::Status(300..=399) => {
                "the address of --gitlab-url leads elsewhere, and no redirect is followed: it is to be the one that GitLab answers at itself."
            }
            Self::Status(_) => "GitLab's logs tell why, if --gitlab-url is GitLab.",
            Self::TooLarge | Self::Garbled => {
                "something else may answer at --gitlab-url, such as a sign-in page in front of GitLab."
            }
            Self::Circle => "--gitlab-url is to be the address of GitLab itself.",
            Self::Stopped => return None,
        })
    }

    /// For the user and for the operator.
    pub(super) fn in_full(&self) -> String {
        let brief = self.brief();
        match self.hint() {
            Some(hint) => format!(":warning: {brief}\n_For whoever runs the app:_ {hint}"),
            None => format!(":warning: {brief}"),
        }
    }

    pub(super) fn reply(&self) -> Reply {
        Reply::new(self.in_full())
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
                "leads elsewhere",
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
