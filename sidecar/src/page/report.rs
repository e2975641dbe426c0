//! The database's report. A field that is missing, because the extension has another version, counts as empty.

use std::time::Duration;

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Report {
    /// The database is a copy: nothing runs and nothing is sent.
    pub(super) is_held: bool,
    pub(super) queue: Vec<Worker>,
    pub(super) deliveries: Deliveries,
    pub(super) failures: Vec<Failures>,
    /// None if they are not known.
    #[serde(default = "no_troubles")]
    pub(super) troubles: Option<Vec<Unreached>>,
    /// Than those, which are of the channels that failed last.
    pub(super) has_more_troubles: bool,
    pub(super) backfills: Vec<Backfill>,
    pub(super) features: Vec<Feature>,
    pub(super) cache_columns: Vec<CacheColumn>,
    pub(super) drift: Vec<Drift>,
}

fn no_troubles() -> Option<Vec<Unreached>> {
    Some(Vec::new())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) worker: String,
    pub(super) renamed_to: Option<String>,
    pub(super) enqueued: i64,
    pub(super) scheduled: i64,
    pub(super) running: i64,
    pub(super) dead: i64,
    pub(super) oldest: Option<String>,
    pub(super) oldest_seconds: Option<f64>,
    pub(super) drained: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deliveries {
    pub(super) waiting: i64,
    pub(super) oldest: Option<String>,
    pub(super) oldest_seconds: Option<f64>,
    pub(super) delivered_last_hour: i64,
    pub(super) failed_last_hour: i64,
    pub(super) channels_waiting: i64,
    pub(super) channels_held: i64,
    pub(super) channels: Vec<Channel>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Channel {
    pub(super) team_id: String,
    pub(super) channel: String,
    pub(super) waiting: i64,
    pub(super) oldest: Option<String>,
    pub(super) oldest_seconds: Option<f64>,
    /// Nothing is sent before.
    pub(super) held_until: Option<String>,
    pub(super) held_for_seconds: Option<f64>,
    pub(super) last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failures {
    pub(super) error: String,
    pub(super) needed: Option<String>,
    pub(super) deliveries: i64,
    /// Those to users, and to other channels that `troubles` does not have.
    pub(super) in_no_trouble: i64,
    pub(super) channels: i64,
    /// The names of some of them.
    pub(super) names: Vec<String>,
    pub(super) last_at: Option<String>,
    pub(super) age_seconds: Option<f64>,
}

/// Channels that cannot be reached now, for the same reason.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Unreached {
    pub(super) error: String,
    pub(super) needed: Option<String>,
    pub(super) channels: i64,
    pub(super) messages: i64,
    /// Of some of them.
    pub(super) names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Backfill {
    pub(super) run: i64,
    pub(super) job: String,
    pub(super) target_table: String,
    pub(super) status: String,
    pub(super) percent: f64,
    pub(super) rows_estimated: f64,
    pub(super) scanned: i64,
    pub(super) updated: i64,
    pub(super) rows_per_second: Option<f64>,
    pub(super) remaining_seconds: Option<f64>,
    pub(super) held_by: Option<String>,
    pub(super) held_cause: Option<String>,
    pub(super) set_aside: i64,
    pub(super) last_error: Option<String>,
    pub(super) started_at: Option<String>,
    pub(super) finished_at: Option<String>,
    /// Since it ended, or since it was started.
    pub(super) age_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) percentage_of_actors: Option<f64>,
    pub(super) percentage_of_time: Option<f64>,
    pub(super) actors: i64,
    pub(super) has_expression: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct CacheColumn {
    pub(super) table: String,
    pub(super) column: String,
    pub(super) state: String,
}

/// Drifted rows, as last counted.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drift {
    pub(super) what: String,
    pub(super) rows: Option<i64>,
    /// There are more that were not counted.
    pub(super) is_more: Option<bool>,
    pub(super) checked_at: Option<String>,
    pub(super) age_seconds: Option<f64>,
}

impl Drift {
    /// How long ago that was.
    pub(super) fn age(&self) -> Option<Duration> {
        self.age_seconds.map(length)
    }
}

/// A time that the database tells in seconds. A clock that was set back makes none of it.
pub(super) fn length(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}
