//! How everything stands in numbers, and how many rows differ.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::SlackDatabase;
use crate::error::Error;

/// What the database tells. A field that is missing, since the extension is of another version, is as good as nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct MetricsReport {
    pub(crate) extension: String,
    pub(crate) is_held: bool,
    pub(crate) jobs: Vec<WorkerJobs>,
    pub(crate) runners: f64,
    pub(crate) deliveries: DeliveryState,
    pub(crate) workspaces: WorkspaceState,
    pub(crate) backfills: Vec<BackfillState>,
    pub(crate) cache_columns: Vec<ColumnState>,
    pub(crate) drift: Vec<DriftCheck>,
    pub(crate) feature_changed_at: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkerJobs {
    pub(crate) worker: String,
    pub(crate) scheduled: f64,
    pub(crate) waiting: f64,
    pub(crate) running: f64,
    pub(crate) dead: f64,
    pub(crate) blocked: f64,
    pub(crate) oldest_seconds: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DeliveryState {
    pub(crate) waiting: f64,
    pub(crate) oldest_seconds: f64,
    pub(crate) failed: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkspaceState {
    pub(crate) installed: f64,
    pub(crate) not_refreshed: f64,
    pub(crate) first_expiry: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct BackfillState {
    pub(crate) job: String,
    pub(crate) table: String,
    pub(crate) status: String,
    pub(crate) percent: f64,
    pub(crate) scanned: f64,
    pub(crate) updated: f64,
    pub(crate) rows_estimated: f64,
    pub(crate) rows_per_second: Option<f64>,
    pub(crate) set_aside: f64,
    pub(crate) held_by: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ColumnState {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) is_active: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct DriftCheck {
    pub(crate) what: String,
    pub(crate) rows: Option<f64>,
    pub(crate) checked_at: Option<f64>,
}

/// A cache column, or Slack's integrations, with its rows that differed when they were last counted.
#[derive(Debug)]
pub(crate) struct Drift {
    pub(crate) what: String,
    pub(crate) rows: Option<i64>,
    /// There are more, which were not counted.
    pub(crate) is_more: bool,
    /// How long ago that was.
    pub(crate) age: Option<Duration>,
}

impl Drift {
    /// What corrects the rows.
    pub(crate) fn remedy(&self) -> String {
        match self.what.rsplit_once('.') {
            Some((table, _)) => format!(
                "call lockstep.backfill('cache_columns', '{}')",
                table.replace('\'', "''")
            ),
            None => "call lockstep.backfill('slack_workspaces')".to_owned(),
        }
    }
}

impl SlackDatabase {
    /// The numbers for monitoring.
    pub(crate) async fn metrics_report(&self) -> Result<MetricsReport, Error> {
        let statement = "select lockstep.metrics_report($1)";
        let report: Value = self.value(statement, &[&self.schema]).await?;
        MetricsReport::deserialize(report).map_err(|error| Error::Pool(error.to_string()))
    }

    /// What waits, what was sent, backfills and flags.
    pub(crate) async fn status_report(&self) -> Result<Value, Error> {
        let statement = "select lockstep.status_report($1)";
        self.value(statement, &[&self.schema]).await
    }

    /// What was recorded for plots.
    pub(crate) async fn status_history(&self) -> Result<Value, Error> {
        let statement = "select lockstep.status_history($1)";
        self.value(statement, &[&self.schema]).await
    }

    /// Records what plots show, since it was last recorded.
    pub(crate) async fn record_history(&self) -> Result<(), Error> {
        let statement = "select lockstep_api.record_history($1)";
        self.ask(statement, &[&self.schema]).await.map(drop)
    }

    /// Counts the rows that differ, which takes reading all of them; [`Self::drift`] tells how many they are.
    pub(crate) async fn count_drift(&self) -> Result<(), Error> {
        let statement = "select lockstep.drift_report($1)";
        self.ask_one(statement, &[&self.schema]).await.map(drop)
    }

    /// How many rows differed, when they were last counted.
    pub(crate) async fn drift(&self) -> Result<Vec<Drift>, Error> {
        let statement = "
            select d.what, d.rows, coalesce(d.is_more, false),
                   extract(epoch from pg_catalog.clock_timestamp() - d.checked_at)::float8
              from lockstep.drift_checks($1) d";
        let rows = self.ask(statement, &[&self.schema]).await?;
        let drift = |row: &tokio_postgres::Row| {
            let age: Option<f64> = row.try_get(3)?;
            Ok(Drift {
                what: row.try_get(0)?,
                rows: row.try_get(1)?,
                is_more: row.try_get(2)?,
                age: age.and_then(|age| Duration::try_from_secs_f64(age.max(0.0)).ok()),
            })
        };
        rows.iter().map(drift).collect()
    }
}
