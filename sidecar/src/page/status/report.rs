//! What the database reports. A field that is missing, since the extension is of another version, is as good as nothing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    pub(super) queue: Vec<Worker>,
    pub(super) deliveries: Deliveries,
    pub(super) failures: Vec<Failures>,
    pub(super) backfills: Vec<Backfill>,
    pub(super) features: Vec<Feature>,
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
    pub(super) drained: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Deliveries {
    pub(super) waiting: i64,
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
    pub(super) last_error: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Failures {
    pub(super) error: String,
    pub(super) deliveries: i64,
    pub(super) channels: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Backfill {
    pub(super) run: i64,
    pub(super) job: String,
    pub(super) target_table: String,
    pub(super) status: String,
    pub(super) percent: f64,
    pub(super) scanned: i64,
    pub(super) updated: i64,
    pub(super) rows_per_second: Option<f64>,
    pub(super) held_by: Option<String>,
    pub(super) set_aside: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Feature {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) percentage_of_actors: Option<f64>,
    pub(super) percentage_of_time: Option<f64>,
    pub(super) actors: i64,
}

/// Rows that are not what they should be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DriftReport {
    pub(super) found: Vec<Drift>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Drift {
    pub(super) what: String,
    pub(super) rows: i64,
    /// There are more that were not counted.
    pub(super) is_more: bool,
}

/// The last report, for all who look at the same time.
#[derive(Default)]
pub(crate) struct LastReport(tokio::sync::Mutex<Option<(Instant, Option<Arc<Report>>)>>);

impl LastReport {
    /// One that is no older than that, by asking for it if need be; none, if there was no answer. Whoever comes meanwhile waits for the
    /// same one.
    pub(super) async fn get(
        &self,
        freshness: Duration,
        ask: impl Future<Output = Option<Report>>,
    ) -> Option<Arc<Report>> {
        let mut last = self.0.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < freshness
        {
            return report.clone();
        }
        let report = ask.await.map(Arc::new);
        *last = Some((Instant::now(), report.clone()));
        report
    }
}

/// What is known of drift.
#[derive(Clone, Debug, Default)]
pub(crate) enum KnownDrift {
    #[default]
    NotYet,
    Found(DriftReport),
    /// The last look came to no end.
    Unknown,
}

/// The last look for drift.
#[derive(Default)]
pub(crate) struct LastDrift(Mutex<(Option<Instant>, KnownDrift)>);

impl LastDrift {
    /// Whether the last look is so long ago. Whoever is told so is the one to look.
    pub(super) fn is_due(&self, period: Duration) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last.0.is_none_or(|at| at.elapsed() >= period);
        if is_due {
            last.0 = Some(Instant::now());
        }
        is_due
    }

    pub(super) fn set(&self, found: KnownDrift) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 = found;
    }

    pub(super) fn get(&self) -> KnownDrift {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }
}
