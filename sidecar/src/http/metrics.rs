//! Metrics for Prometheus.

use std::time::Duration;

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Error;

/// Around Slack's timeout of three seconds, in seconds.
const BUCKETS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0];

/// The counters. Their labels have few values: nothing from a request is used as a label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    name: &'static str,
    label: &'static str,
    help: &'static str,
}

macro_rules! counters {
    ($($constant:ident: $name:literal, $label:literal, $help:literal;)*) => {
        impl Counter {
            $(pub(crate) const $constant: Self = Self { name: $name, label: $label, help: $help };)*
            const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

counters! {
    REFUSALS: "lockstep_slack_refusals_total", "reason", "requests that were not taken for Slack's";
    EVENTS: "lockstep_slack_events_total", "event", "events that Slack sent, known ones by type";
    EVENT_OUTCOMES: "lockstep_slack_event_outcomes_total", "outcome", "what became of known events";
    COMMANDS: "lockstep_slack_commands_total", "command", "slash commands";
    INTERACTIONS: "lockstep_slack_interactions_total", "action", "interactions, known ones by action";
    CALLS: "lockstep_slack_calls_total", "outcome", "calls of Slack's API";
    INSTALLS: "lockstep_slack_installs_total", "outcome", "installations that came back from Slack";
    REFRESHES: "lockstep_slack_token_refreshes_total", "outcome", "tokens refreshed before they expire";
    HOOKS: "lockstep_gitlab_hooks_total", "outcome", "webhooks of GitLab";
    REPLAYS: "lockstep_gitlab_spool_replays_total", "outcome", "webhooks of the spool that were tried again, and what became of them";
    DELIVERIES: "lockstep_deliveries_total", "outcome", "messages sent to channels, and what became of them";
    PASSED_ON: "lockstep_gitlab_passed_on_total", "outcome", "requests of Slack's that were passed on to GitLab, and what became of them";
    LATE: "lockstep_slack_late_replies_total", "outcome", "commands answered after their request";
}

/// Counts one.
pub(crate) fn count(what: Counter, value: &'static str) {
    counter!(what.name, what.label => value).increment(1);
}

/// What is looked at as it is now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge {
    name: &'static str,
    help: &'static str,
}

macro_rules! gauges {
    ($($constant:ident: $name:literal, $help:literal;)*) => {
        impl Gauge {
            $(pub(crate) const $constant: Self = Self { name: $name, help: $help };)*
            const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

gauges! {
    SPOOL_ENTRIES: "lockstep_gitlab_spool_entries", "webhooks in the spool that wait for the database";
    SPOOL_BYTES: "lockstep_gitlab_spool_bytes", "bytes of --spool-size that are used";
    SPOOL_OLDEST: "lockstep_gitlab_spool_oldest_seconds", "age of the oldest webhook that waits, in seconds";
    SPOOL_SET_ASIDE: "lockstep_gitlab_spool_set_aside", "webhooks in the spool that the database refused for good";
}

pub(crate) fn measure(what: Gauge, value: f64) {
    gauge!(what.name).set(value);
}

pub(super) const REQUESTS: &str = "lockstep_requests_total";
pub(super) const SECONDS: &str = "lockstep_request_seconds";

pub(crate) fn install() -> Result<PrometheusHandle, Error> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| Error::Metrics(error.to_string()))?;
    for counter in Counter::ALL {
        describe_counter!(counter.name, counter.help);
    }
    for gauge in Gauge::ALL {
        describe_gauge!(gauge.name, gauge.help);
    }
    describe_counter!(REQUESTS, "requests answered, by route and status");
    describe_histogram!(SECONDS, "time to answer a request, by route, in seconds");
    Ok(handle)
}

/// Times are kept individually until they are sorted into their buckets, which otherwise only happens when somebody reads them,
/// possibly never. Done often, because all accumulated times are sorted at once.
pub(crate) async fn sort(handle: PrometheusHandle) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
