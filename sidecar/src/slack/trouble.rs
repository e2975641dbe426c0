//! What to do about errors that keep messages from a channel, by Slack's error code.

use super::message::{code, shorten};

/// For users in Slack.
pub(crate) fn advice(error: &str, needed: Option<&str>) -> String {
    let known = ADVICE.iter().find(|(names, _)| names.contains(&error));
    let advice = known.map_or("Slack does not take it", |(_, advice)| advice);
    let error = code(&shorten(error, 60));
    match needed {
        Some(scope) => format!("{advice} ({error}, it lacks {})", code(&shorten(scope, 60))),
        None => format!("{advice} ({error})"),
    }
}

const ADVICE: [(&[&str], &str); 12] = [
    (
        &["not_in_channel", "user_not_in_channel"],
        "the app is not in that channel: invite it there with `/invite @GitLab`",
    ),
    (
        &["channel_not_found", "invalid_channel"],
        "there is no such channel, or it is private and the app is not in it: check the name, or invite the app with `/invite @GitLab`",
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
        "the app has to be installed again in this workspace",
    ),
    (
        &["team_not_found"],
        "the app is installed for a whole organization, and takes the ids of channels, not their names",
    ),
    (
        &["missing_scope"],
        "the app may not do that: install it again, with all scopes",
    ),
    (
        &["token_unreadable"],
        "its token cannot be opened with the keys that are configured: whoever runs the app has to look at `lockstep-sidecar check`",
    ),
    (&["inactive"], "the integration is switched off"),
    (
        &["no_event"],
        "what it was to be told of is not in the database any more",
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
        "Slack did not take it for an hour",
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
        "there is something wrong with the message: tell whoever runs the app",
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
            "Slack does not take it (`&lt;!here&gt;`)"
        );
    }
}
