//! What Slack's responses mean for a message.

use std::time::Duration;

use crate::slack::CallError;

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Slack said how long.
    Wait(Duration),
    /// It was not processed.
    Again(Duration),
    /// It may have been processed.
    Unknown(Duration),
    /// The message to update or reply to no longer exists.
    MessageGone,
    /// Its channel is unusable; the name may belong to another one by now.
    ChannelGone,
    /// A retry would get the same response.
    Never,
}

/// After this many failures the message itself is the problem, and those behind it have waited long enough: about an hour.
const MOST_FAILURES: i32 = 20;

/// While Slack does not respond at all, or not for this workspace, those behind it would not succeed either: about a day.
const MOST_OUTAGES: i32 = 300;

const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Errors of the message, not of the channel: it may work without blocks.
const TOO_MUCH: [&str; 6] = [
    "invalid_blocks",
    "invalid_blocks_format",
    "msg_blocks_too_long",
    "too_many_attachments",
    "attachment_payload_limit_exceeded",
    "invalid_attachments",
];

const MAY_BE_DONE: [&str; 3] = ["internal_error", "fatal_error", "request_timeout"];

const OUTAGES: [&str; 3] = [
    "service_unavailable",
    "team_added_to_org",
    "org_login_required",
];

const MESSAGE_GONE: [&str; 4] = [
    "message_not_found",
    "thread_not_found",
    "cant_update_message",
    "edit_window_closed",
];

const CHANNEL_GONE: [&str; 3] = ["channel_not_found", "is_archived", "not_in_channel"];

pub(super) fn is_too_much(error: &CallError) -> bool {
    matches!(error, CallError::Refused { name, .. } if TOO_MUCH.contains(&name.as_str()))
}

/// What to do, after this many earlier failures.
pub(super) fn verdict(error: &CallError, failures: i32) -> Verdict {
    let has_failed_enough = failures >= most_failures(error);
    match error {
        CallError::RateLimited(wait) => Verdict::Wait(*wait),
        CallError::Refused { name, .. } if MESSAGE_GONE.contains(&name.as_str()) => {
            Verdict::MessageGone
        }
        CallError::Refused { name, .. } if CHANNEL_GONE.contains(&name.as_str()) => {
            Verdict::ChannelGone
        }
        // A new token is on its way.
        CallError::Refused { name, .. } if name == "token_expired" && !has_failed_enough => {
            Verdict::Again(pause(failures.max(3)))
        }
        error if !may_pass(error) || has_failed_enough => Verdict::Never,
        error if is_certain(error) => Verdict::Again(pause(failures)),
        _ => Verdict::Unknown(pause(failures)),
    }
}

fn most_failures(error: &CallError) -> i32 {
    let is_outage = match error {
        CallError::Unreachable(_) | CallError::Unanswered(_) => true,
        CallError::Status(status) => matches!(status, 502..=504),
        CallError::Refused { name, .. } => OUTAGES.contains(&name.as_str()),
        _ => false,
    };
    match is_outage {
        true => MOST_OUTAGES,
        false => MOST_FAILURES,
    }
}

/// Slack's own errors have a name: a bare status comes from something in between.
fn may_pass(error: &CallError) -> bool {
    error.is_transient() || matches!(error, CallError::Status(_))
}

/// Whether Slack has certainly done nothing. For internal errors Slack itself says that part of the work may have been done.
fn is_certain(error: &CallError) -> bool {
    match error {
        CallError::Unanswered(_) | CallError::Garbled => false,
        CallError::Status(status) => *status < 500 || *status == 503,
        CallError::Refused { name, .. } => !MAY_BE_DONE.contains(&name.as_str()),
        _ => true,
    }
}

/// What to do if there is not even an error.
pub(super) fn unknown(failures: i32) -> Verdict {
    match failures >= MOST_FAILURES {
        true => Verdict::Never,
        false => Verdict::Unknown(pause(failures)),
    }
}

/// What to do if the token cannot be decrypted: nothing was sent.
pub(super) fn unreadable(failures: i32) -> Verdict {
    match failures >= MOST_FAILURES {
        true => Verdict::Never,
        false => Verdict::Again(pause(failures)),
    }
}

/// Twice as long each time.
fn pause(failures: i32) -> Duration {
    let doublings = u32::try_from(failures).unwrap_or_default().min(10);
    Duration::from_secs(1 << doublings).min(LONGEST_PAUSE)
}

/// What is stored of an error: Slack's code and the missing scope, or what happened on the way.
pub(super) fn name(error: &CallError) -> (String, Option<String>) {
    match error {
        CallError::Refused { name, needed } => (name.clone(), needed.clone()),
        CallError::Status(status) => (format!("http_{status}"), None),
        CallError::Unreachable(_) => ("unreachable".to_owned(), None),
        CallError::Unanswered(_) => ("no_answer".to_owned(), None),
        CallError::RateLimited(_) => ("ratelimited".to_owned(), None),
        CallError::Garbled => ("garbled_answer".to_owned(), None),
        CallError::ForeignUrl => ("invalid_url".to_owned(), None),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        MOST_FAILURES, MOST_OUTAGES, Verdict, is_too_much, name, unknown, unreadable, verdict,
    };
    use crate::slack::CallError;

    fn refused(name: &str) -> CallError {
        CallError::Refused {
            name: name.to_owned(),
            needed: None,
        }
    }

    #[test]
    fn answers_are_told_apart() {
        let second = Duration::from_secs(1);
        for (error, expected) in [
            (
                CallError::RateLimited(second * 7),
                Verdict::Wait(second * 7),
            ),
            (CallError::Status(500), Verdict::Unknown(second)),
            (CallError::Status(503), Verdict::Again(second)),
            (CallError::Status(404), Verdict::Again(second)),
            (
                CallError::Unreachable(String::new()),
                Verdict::Again(second),
            ),
            (
                CallError::Unanswered(String::new()),
                Verdict::Unknown(second),
            ),
            (CallError::Garbled, Verdict::Unknown(second)),
            (refused("internal_error"), Verdict::Unknown(second)),
            (refused("fatal_error"), Verdict::Unknown(second)),
            (refused("team_added_to_org"), Verdict::Again(second)),
            (refused("service_unavailable"), Verdict::Again(second)),
            (refused("channel_not_found"), Verdict::ChannelGone),
            (refused("is_archived"), Verdict::ChannelGone),
            (refused("not_in_channel"), Verdict::ChannelGone),
            (refused("token_revoked"), Verdict::Never),
            (refused("missing_scope"), Verdict::Never),
            (refused("something_new"), Verdict::Never),
            (refused("message_not_found"), Verdict::MessageGone),
            (refused("edit_window_closed"), Verdict::MessageGone),
        ] {
            assert_eq!(verdict(&error, 0), expected, "{error}");
        }
        assert!(is_too_much(&refused("invalid_blocks")) && !is_too_much(&refused("no_text")));
    }

    #[test]
    fn pauses_grow_and_end() {
        let error = CallError::Status(500);
        let pauses: Vec<Verdict> = (0..4).map(|failures| verdict(&error, failures)).collect();
        let seconds = [1, 2, 4, 8].map(|seconds| Verdict::Unknown(Duration::from_secs(seconds)));
        assert_eq!(pauses, seconds);
        let last = verdict(&error, MOST_FAILURES - 1);
        assert_eq!(last, Verdict::Unknown(Duration::from_secs(300)));
        assert_eq!(verdict(&error, MOST_FAILURES), Verdict::Never);
        assert_eq!(verdict(&error, i32::MAX), Verdict::Never);
        // An outage of hours loses no message.
        let outage = CallError::Unreachable(String::new());
        let last = verdict(&outage, MOST_OUTAGES - 1);
        assert_eq!(last, Verdict::Again(Duration::from_secs(300)));
        assert_eq!(verdict(&outage, MOST_OUTAGES), Verdict::Never);
        assert_eq!(unknown(0), Verdict::Unknown(Duration::from_secs(1)));
        assert_eq!(unknown(MOST_FAILURES), Verdict::Never);
        assert_eq!(unreadable(0), Verdict::Again(Duration::from_secs(1)));
        assert_eq!(unreadable(MOST_FAILURES), Verdict::Never);
        // A rate limit is not a failure.
        let limited = CallError::RateLimited(Duration::from_secs(2));
        assert_eq!(
            verdict(&limited, i32::MAX),
            Verdict::Wait(Duration::from_secs(2))
        );
    }

    #[test]
    fn errors_have_names() {
        let needs = CallError::Refused {
            name: "missing_scope".to_owned(),
            needed: Some("chat:write".to_owned()),
        };
        assert_eq!(
            name(&needs),
            ("missing_scope".to_owned(), Some("chat:write".to_owned()))
        );
        assert_eq!(name(&CallError::Status(502)).0, "http_502");
    }
}
