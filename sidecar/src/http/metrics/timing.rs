//! How long things take.

use std::time::Duration;

use metrics::{SharedString, describe_histogram, histogram};

use super::counter::METHODS;
use crate::http::path;

/// Histograms with one label.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(super) name: &'static str,
    label: &'static str,
    help: &'static str,
    /// In seconds.
    pub(super) buckets: &'static [f64],
}

macro_rules! timings {
    ($($constant:ident: $name:literal, $label:literal, $help:literal, $buckets:ident;)*) => {
        impl Timing {
            $(pub(crate) const $constant: Self =
                Self { name: $name, label: $label, help: $help, buckets: &$buckets };)*
            pub(super) const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

/// Around the three seconds that Slack waits.
const OF_REQUESTS: [f64; 9] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 3.0];

/// Up to when a peer is given up.
const OF_PEERS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
const OF_DATABASE: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

timings! {
    REQUEST: "lockstep_http_request_duration_seconds", "route", "time to answer a request", OF_REQUESTS;
    SLACK_CALL: "lockstep_slack_call_duration_seconds", "method", "time that Slack takes for a call of its API", OF_PEERS;
    PASSED_ON: "lockstep_gitlab_pass_through_duration_seconds", "route", "time that GitLab takes for a request of Slack's", OF_PEERS;
    DATABASE_CALL: "lockstep_database_call_duration_seconds", "function", "time that a function of the database takes to answer, without the wait for a session", OF_DATABASE;
}

/// Notes how long something has taken.
pub(crate) fn time(what: Timing, value: impl Into<SharedString>, took: Duration) {
    histogram!(what.name, what.label => value.into()).record(took);
}

pub(super) fn describe(functions: &[&'static str]) {
    for timing in Timing::ALL {
        describe_histogram!(timing.name, timing.help);
    }
    let start = |what: Timing, values: &[&'static str]| {
        for value in values {
            // It exists before its first value.
            let _ = histogram!(what.name, what.label => *value);
        }
    };
    start(Timing::REQUEST, &path::ALL);
    start(Timing::SLACK_CALL, &METHODS);
    start(Timing::PASSED_ON, &path::PASSED_ON);
    start(Timing::DATABASE_CALL, functions);
}
