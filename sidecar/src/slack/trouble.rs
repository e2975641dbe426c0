//! What to do about errors that keep messages from a channel, by Slack's error code.

use super::message::{code, shorten};

/// For users in Slack.
pub(crate) fn advice(error: &str, needed: Option<&str>) -> String {
    let known = ADVICE.iter().find(|(names, _)| names.contains(&error));
    let advice = known.map_or("Slack does not accept it", |(_, advice)| advice);
    let error = code(&shorten(error, 60));
    match needed {
        Some(scope) => format!("{advice} ({error}, it lacks {})", code(&shorten(scope, 60))),
        None => format!("{advice} ({error})"),
    }
}

const ADVICE: [(&[&str], &str); 14] = [
    (
        &["not_in_channel", "user_not_in_channel"],
        "the app is not in that channel: invite it there with `/invite @GitLab`",
    ),
    (
        &["channel_not_found", "invalid_channel"],
        "the channel does not exist, or is private and the app is not a member: check the name, or invite the app with `/invite @GitLab`",
    ),
    (&["is_archived"], "the channel is archived: choose another"),
    (
        &[
            "restricted_action",
            "restricted_action_read_only_channel",
            "restricted_action_thread_only_channel",
            "ekm_access_denied",
            "messages_tab_disabled",
        ],
        "the workspace does not let apps write there: ask its administrators, or choose another channel",
    ),
    (
        &[
            "token_revoked",
            "account_inactive",
            "invalid_auth",
            "not_authed",
            "not_installed",
            "no_permission",
            "token_expired",
        ],
        "the app must be installed again in this workspace",
    ),
    (
        &["team_not_found"],
        "the app is installed for a whole organization, and needs channel ids instead of names",
    ),
    (
        &["missing_scope"],
        "the app lacks the permission: install it again, with all scopes",
    ),
    (
        &["token_unreadable"],
        "its token cannot be decrypted with the configured keys: the app's operator should run `lockstep-sidecar check`",
    ),
    (&["inactive"], "the integration is switched off"),
    (
        &["unsubscribed"],
        "the channel's subscription to the project has ended",
    ),
    (&["no_event"], "the event is no longer in the database"),
    (
        &["no_access"],
        "when it was to be sent, the person had no access any more, or did not want it",
    ),
    (
        &[
            "no_answer",
            "garbled_answer",
            "unreachable",
            "ratelimited",
            "internal_error",
            "fatal_error",
            "service_unavailable",
            "request_timeout",
            "http_500",
            "http_502",
            "http_503",
            "http_504",
        ],
        "Slack did not accept it for an hour",
    ),
    (
        &[
            "msg_too_long",
            "msg_blocks_too_long",
            "invalid_blocks",
            "no_text",
            "unreadable_event",
            "broke_off",
        ],
        "something is wrong with the message: contact the app's operator",
    ),
];

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn each_trouble_says_what_to_do() {
        assert!(advice("is_archived", None).contains("archived"));
        assert!(
            advice("missing_scope", Some("chat:write"))
                .ends_with("(`missing_scope`, it lacks `chat:write`)")
        );
        assert_eq!(
            advice("<!here>", None),
            "Slack does not accept it (`&lt;!here&gt;`)"
        );
    }
}
