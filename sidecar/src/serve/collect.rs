//! The metrics of this process, and of the database: any number of processes show the latter, each as the database has answered within ten
//! seconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::time::timeout;
use tracing::debug;

use crate::database::{MetricsReport, SlackDatabase};
use crate::error::Error;
use crate::http::{Cached, Gauge, Gauges};
use crate::spool::Spool;

const FRESH: Duration = Duration::from_secs(10);

/// Prometheus waits for ten seconds, if it is not told otherwise.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) struct Collector {
    metrics: PrometheusHandle,
    database: SlackDatabase,
    /// By the name of the pool.
    pools: Vec<(&'static str, SlackDatabase)>,
    spool: Option<Arc<Spool>>,
    last: Cached<Answer>,
    of_process: Gauges,
    of_database: Gauges,
}

struct Answer {
    report: MetricsReport,
    took: Duration,
}

impl Collector {
    pub(super) fn new(
        metrics: PrometheusHandle,
        database: SlackDatabase,
        pools: Vec<(&'static str, SlackDatabase)>,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        Self {
            metrics,
            database,
            pools,
            spool,
            last: Cached::new(FRESH, 6 * FRESH),
            of_process: Gauges::default(),
            of_database: Gauges::default(),
        }
    }

    /// All metrics, in the format of Prometheus. Without the database those of this process.
    pub(super) async fn text(&self) -> String {
        let answer = self.last.get(async || self.ask().await).await;
        let version = env!("CARGO_PKG_VERSION");
        let mut values = vec![
            (Gauge::BUILD, vec![version], 1.0),
            (
                Gauge::DATABASE_UP,
                vec![],
                f64::from(u8::from(answer.is_some())),
            ),
        ];
        for (name, database) in &self.pools {
            let sessions = database.sessions();
            let in_use = sessions.size.saturating_sub(sessions.available);
            values.extend([
                (Gauge::SESSIONS, vec![name, "in_use"], in_use as f64),
                (
                    Gauge::SESSIONS,
                    vec![name, "idle"],
                    sessions.available as f64,
                ),
                (Gauge::SESSIONS_LIMIT, vec![name], sessions.max_size as f64),
                (
                    Gauge::SESSIONS_WAITED_FOR,
                    vec![name],
                    sessions.waiting as f64,
                ),
            ]);
        }
        let standing = self.spool.as_ref().map(|spool| spool.standing());
        let standing = standing.unwrap_or_default();
        let oldest = standing.oldest.unwrap_or_default();
        values.extend([
            (Gauge::SPOOL_ENTRIES, vec![], standing.entries as f64),
            (Gauge::SPOOL_BYTES, vec![], standing.bytes as f64),
            (Gauge::SPOOL_OLDEST, vec![], oldest.as_secs_f64()),
            (Gauge::SPOOL_SET_ASIDE, vec![], standing.set_aside as f64),
        ]);
        self.of_process.set(values);
        if let Some(answer) = answer {
            let mut values = of_report(&answer.report);
            values.push((Gauge::REPORT, vec![], answer.took.as_secs_f64()));
            self.of_database.set(values);
        }
        self.metrics.run_upkeep();
        self.metrics.render()
    }

    async fn ask(&self) -> Option<Answer> {
        let begun = Instant::now();
        let asking = timeout(PATIENCE, self.database.metrics_report());
        let report = asking.await.unwrap_or(Err(Error::Silent));
        let report = report
            .inspect_err(|error| debug!(error = %error.report(), "no metrics of the database"));
        Some(Answer {
            report: report.ok()?,
            took: begun.elapsed(),
        })
    }
}

/// The states of a run.
const STATES: [&str; 5] = ["running", "paused", "cancelled", "finished", "failed"];

fn of_report(report: &MetricsReport) -> Vec<(Gauge, Vec<&str>, f64)> {
    let number = |is: bool| f64::from(u8::from(is));
    let mut values = vec![
        (Gauge::EXTENSION, vec![&*report.extension], 1.0),
        (Gauge::DATABASE_HELD, vec![], number(report.is_held)),
        (Gauge::RUNNERS, vec![], report.runners),
        (Gauge::DELIVERIES_WAITING, vec![], report.deliveries.waiting),
        (
            Gauge::OLDEST_DELIVERY,
            vec![],
            report.deliveries.oldest_seconds,
        ),
        (Gauge::WORKSPACES, vec![], report.workspaces.installed),
        (
            Gauge::NOT_REFRESHED,
            vec![],
            report.workspaces.not_refreshed,
        ),
        (
            Gauge::FIRST_EXPIRY,
            vec![],
            report.workspaces.first_expiry.unwrap_or_default(),
        ),
        (
            Gauge::FEATURE_CHANGED,
            vec![],
            report.feature_changed_at.unwrap_or_default(),
        ),
    ];
    for it in &report.jobs {
        let worker = &*it.worker;
        for (state, jobs) in [
            ("scheduled", it.scheduled),
            ("waiting", it.waiting),
            ("running", it.running),
            ("dead", it.dead),
            ("blocked", it.blocked),
        ] {
            values.push((Gauge::JOBS, vec![worker, state], jobs));
        }
        values.push((Gauge::OLDEST_JOB, vec![worker], it.oldest_seconds));
    }
    for (cause, deliveries) in &report.deliveries.failed {
        values.push((Gauge::DELIVERIES_FAILED, vec![cause], *deliveries));
    }
    for it in &report.backfills {
        let run = || vec![&*it.job, &*it.table];
        for state in STATES {
            let is_it = number(it.status == state);
            values.push((Gauge::BACKFILL_STATE, [run(), vec![state]].concat(), is_it));
        }
        if let Some(cause) = &it.held_by {
            values.push((Gauge::BACKFILL_HELD, [run(), vec![&**cause]].concat(), 1.0));
        }
        values.extend([
            (Gauge::BACKFILL_ROWS_DONE, run(), it.scanned),
            (Gauge::BACKFILL_ROWS_UPDATED, run(), it.updated),
            (Gauge::BACKFILL_ROWS_ESTIMATED, run(), it.rows_estimated),
            (Gauge::BACKFILL_PROGRESS, run(), it.percent / 100.0),
            (
                Gauge::BACKFILL_RATE,
                run(),
                it.rows_per_second.unwrap_or_default(),
            ),
            (Gauge::BACKFILL_SET_ASIDE, run(), it.set_aside),
        ]);
    }
    for it in &report.cache_columns {
        let column = vec![&*it.table, &*it.column];
        values.push((Gauge::CACHE_COLUMN, column, number(it.is_active)));
    }
    for it in &report.drift {
        let checked_at = it.checked_at.unwrap_or_default();
        values.push((Gauge::DRIFT_CHECKED, vec![&*it.what], checked_at));
        if let Some(rows) = it.rows {
            values.push((Gauge::DRIFT, vec![&*it.what], rows));
        }
    }
    values
}
