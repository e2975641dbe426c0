//! What is counted.

use std::sync::Arc;

use axum::http::StatusCode;
use metrics::{counter, describe_counter};

use crate::http::path;

/// Counters with one label of few values: nothing that a request says goes into one as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    name: &'static str,
    label: &'static str,
    values: &'static [&'static str],
    help: &'static str,
}

macro_rules! counters {
    ($($constant:ident: $name:literal, $label:literal, $help:literal, [$($value:literal),* $(,)?];)*) => {
        impl Counter {
            $(pub(crate) const $constant: Self =
                Self { name: $name, label: $label, values: &[$($value),*], help: $help };)*
            const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

counters! {
    REFUSALS: "lockstep_slack_refusals_total", "reason", "requests that were not taken for Slack's",
        ["unsigned", "stale", "forged", "replayed"];
    EVENTS: "lockstep_slack_events_total", "event", "events that Slack sent, known ones by type",
        ["app_home_opened", "app_uninstalled", "tokens_revoked", "url_verification", "app_rate_limited", "passed_on", "unknown"];
    EVENT_OUTCOMES: "lockstep_slack_event_outcomes_total", "outcome", "what became of known events",
        ["done", "queued", "duplicate", "ignored"];
    COMMANDS: "lockstep_slack_commands_total", "command", "slash commands",
        ["help", "status", "test", "notify", "subscribe", "unsubscribe", "subscriptions", "chatops", "passed_on", "unknown"];
    INTERACTIONS: "lockstep_slack_interactions_total", "action", "interactions, known ones by action",
        ["switch_on", "switch_off", "project_picker", "project_search", "notification_settings", "settings_saved", "chatops_large_step", "passed_on", "unknown"];
    INSTALLS: "lockstep_slack_installs_total", "outcome", "installations that came back from Slack",
        ["installed", "denied", "no_state", "used", "expired", "other_browser", "ticket", "alias_taken", "unknown_workspace", "too_many", "refused", "slack_unavailable", "unavailable", "unstorable"];
    REFRESHES: "lockstep_slack_token_refreshes_total", "outcome", "tokens refreshed before they expire",
        ["done", "overtaken", "refused", "failed"];
    HOOKS: "lockstep_gitlab_hooks_total", "outcome", "webhooks of GitLab",
        ["published", "told_nobody", "duplicate", "unknown_kind", "malformed", "unknown_project", "unstorable", "out_of_reach", "unavailable", "spooled", "spool_full", "full", "unread", "closed", "unsigned", "stale", "forged"];
    REPLAYS: "lockstep_gitlab_spool_replays_total", "outcome", "webhooks of the spool that were tried again, and what became of them",
        ["published", "told_nobody", "duplicate", "unknown_kind", "malformed", "unknown_project", "unstorable", "out_of_reach", "set_aside"];
    DELIVERIES: "lockstep_deliveries_total", "outcome", "messages sent to channels, and what became of them",
        ["delivered", "retry", "uncertain", "rate_limited", "failed", "superseded", "lost_message"];
    PASSED_ON: "lockstep_gitlab_passed_on_total", "outcome", "requests of Slack's that were passed on to GitLab, and what became of them",
        ["answered", "late", "not_connected", "busy", "unreachable", "broken_off", "too_slow", "unsigned", "forbidden", "not_found", "redirect", "failed", "refused", "too_large", "garbled", "circle", "stopped"];
    LATE: "lockstep_slack_late_replies_total", "outcome", "commands answered after their request",
        ["sent", "left", "failed"];
    DATABASE_FAILURES: "lockstep_database_failures_total", "reason", "calls of the database's functions without an answer",
        ["unreachable", "busy", "silent", "lost", "given_up", "error"];
}

/// Counts one.
pub(crate) fn count(what: Counter, value: &'static str) {
    counter!(what.name, what.label => value).increment(1);
}

const REQUESTS: &str = "lockstep_http_requests_total";
const CALLS: &str = "lockstep_slack_calls_total";

/// The methods of Slack's that are called, the address of late replies among them.
pub(super) const METHODS: [&str; 7] = [
    "api.test",
    "chat.postMessage",
    "chat.update",
    "oauth.v2.access",
    "response_url",
    "views.open",
    "views.publish",
];
const CALL_OUTCOMES: [&str; 7] = [
    "ok",
    "rate_limited",
    "refused",
    "lost_installation",
    "transient",
    "unreachable",
    "unanswered",
];

/// Counts a request that was answered.
pub(crate) fn count_request(route: Arc<str>, status: StatusCode) {
    counter!(REQUESTS, "route" => route, "status" => status.as_str().to_owned()).increment(1);
}

/// Counts a call of Slack's API.
pub(crate) fn count_call(method: &'static str, outcome: &'static str) {
    counter!(CALLS, "method" => method, "outcome" => outcome).increment(1);
}

pub(super) fn describe() {
    for it in Counter::ALL {
        describe_counter!(it.name, it.help);
        for value in it.values {
            counter!(it.name, it.label => *value).increment(0);
        }
    }
    describe_counter!(REQUESTS, "requests answered");
    for route in path::ALL {
        counter!(REQUESTS, "route" => route, "status" => "200").increment(0);
    }
    describe_counter!(CALLS, "calls of Slack's API");
    for method in METHODS {
        for outcome in CALL_OUTCOMES {
            counter!(CALLS, "method" => method, "outcome" => outcome).increment(0);
        }
    }
}
