//! How things stand.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use metrics::{Label, describe_gauge, gauge};

/// Gauges, each with its labels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge {
    name: &'static str,
    labels: &'static [&'static str],
    help: &'static str,
}

macro_rules! gauges {
    ($($constant:ident: $name:literal, [$($label:literal),*], $help:literal;)*) => {
        impl Gauge {
            $(pub(crate) const $constant: Self = Self { name: $name, labels: &[$($label),*], help: $help };)*
            const ALL: &'static [Self] = &[$(Self::$constant),*];
        }
    };
}

gauges! {
    BUILD: "lockstep_build_info", ["version"], "the version of this program; always 1";
    EXTENSION: "lockstep_extension_info", ["version"], "the version of the extension in the database; always 1";
    DATABASE_UP: "lockstep_database_up", [], "whether the database has answered what is asked for these metrics";
    DATABASE_HELD: "lockstep_database_held", [], "whether the database was restored or copied, so that nothing runs or is sent";
    REPORT: "lockstep_database_report_duration_seconds", [], "time that the database took to answer what is asked for these metrics";
    SESSIONS: "lockstep_database_sessions", ["pool", "state"], "sessions with the database, in_use or idle";
    SESSIONS_LIMIT: "lockstep_database_sessions_limit", ["pool"], "sessions with the database that there may be";
    SESSIONS_WAITED_FOR: "lockstep_database_sessions_waited_for", ["pool"], "calls that wait for a session with the database";
    SPOOL_ENTRIES: "lockstep_gitlab_spool_entries", [], "webhooks in the spool that wait for the database; 0 without --spool";
    SPOOL_BYTES: "lockstep_gitlab_spool_bytes", [], "bytes of --spool-size that are used";
    SPOOL_OLDEST: "lockstep_gitlab_spool_oldest_age_seconds", [], "for how long the webhook waits that waits longest";
    SPOOL_SET_ASIDE: "lockstep_gitlab_spool_set_aside", [], "webhooks in the spool that the database refused for good";
    JOBS: "lockstep_jobs", ["worker", "state"], "jobs, scheduled, waiting, blocked by the limit of their key, running or dead; those that wait are estimated where they are more than 10,000";
    OLDEST_JOB: "lockstep_job_oldest_age_seconds", ["worker"], "for how long the job waits that waits longest";
    RUNNERS: "lockstep_job_runners", [], "runners of jobs that are alive";
    DELIVERIES_WAITING: "lockstep_deliveries_waiting", [], "messages that wait; an estimate where they are more than 10,000";
    OLDEST_DELIVERY: "lockstep_delivery_oldest_age_seconds", [], "for how long the message waits that waits longest";
    DELIVERIES_FAILED: "lockstep_deliveries_failed", ["cause"], "messages that failed for good and can be sent again, by Slack's name of the error";
    WORKSPACES: "lockstep_slack_workspaces", [], "workspaces that have the app, by an installation of this program's";
    NOT_REFRESHED: "lockstep_slack_tokens_not_refreshed", [], "workspaces whose token could not be refreshed the last time";
    FIRST_EXPIRY: "lockstep_slack_token_first_expiry_timestamp_seconds", [], "when the first token expires; 0 if none does";
    BACKFILL_STATE: "lockstep_backfill_state", ["job", "table", "state"], "the state of the last run of a backfill: 1 for the one it is in";
    BACKFILL_ROWS_DONE: "lockstep_backfill_rows_done", ["job", "table"], "rows that the run has looked at";
    BACKFILL_ROWS_UPDATED: "lockstep_backfill_rows_updated", ["job", "table"], "rows that the run has written";
    BACKFILL_ROWS_ESTIMATED: "lockstep_backfill_rows_estimated", ["job", "table"], "rows of the table as the run began";
    BACKFILL_PROGRESS: "lockstep_backfill_progress_ratio", ["job", "table"], "how far the run is, from 0 to 1";
    BACKFILL_RATE: "lockstep_backfill_rows_per_second", ["job", "table"], "rows that the run does in a second";
    BACKFILL_HELD: "lockstep_backfill_held", ["job", "table", "cause"], "1 where something holds the run";
    BACKFILL_SET_ASIDE: "lockstep_backfill_ranges_set_aside", ["job", "table"], "ranges of keys that failed and were set aside";
    CACHE_COLUMN: "lockstep_cache_column_active", ["table", "column"], "whether the cache column is maintained";
    DRIFT: "lockstep_drift_rows", ["what"], "rows that differed when they were last counted, 1,000 at most";
    DRIFT_CHECKED: "lockstep_drift_checked_timestamp_seconds", ["what"], "when the rows that differ were last counted; 0 if never";
    FEATURE_CHANGED: "lockstep_feature_changed_timestamp_seconds", [], "when a feature flag was last changed; 0 if never";
}

pub(super) fn describe() {
    for it in Gauge::ALL {
        describe_gauge!(it.name, it.help);
    }
}

type Series = (&'static str, Vec<Label>);

/// Gauges that are set together. What was set before and is not any more is zero: the cause is gone, or the run.
#[derive(Default)]
pub(crate) struct Gauges {
    before: Mutex<HashSet<Series>>,
}

impl Gauges {
    pub(crate) fn set(&self, values: Vec<(Gauge, Vec<&str>, f64)>) {
        let mut now = HashSet::new();
        for (what, labels, value) in values {
            let labels = what.labels.iter().zip(labels);
            let labels: Vec<Label> = labels
                .map(|(name, value)| Label::new(*name, value.to_owned()))
                .collect();
            gauge!(what.name, labels.clone()).set(value);
            now.insert((what.name, labels));
        }
        let mut before = self.before.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, labels) in before.difference(&now) {
            gauge!(*name, labels.clone()).set(0.0);
        }
        *before = now;
    }
}
