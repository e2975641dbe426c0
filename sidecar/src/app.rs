//! What requests and jobs of the Slack app share.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics_exporter_prometheus::PrometheusHandle;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::database::SlackDatabase;
use crate::error::Error;
use crate::slack::SlackClient;

pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) database: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) metrics: PrometheusHandle,
    /// Answers that are given after their request is over; a graceful stop waits for them.
    pub(crate) late: TaskTracker,
    is_draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config, metrics: PrometheusHandle) -> Result<Self, Error> {
        Ok(Self {
            database: SlackDatabase::new(&config.address, &config.schema, config.sessions)?,
            slack: SlackClient::new(&config.slack_url)?,
            config,
            metrics,
            late: TaskTracker::new(),
            is_draining: AtomicBool::new(false),
        })
    }

    /// From now on load balancers are to look elsewhere.
    pub(crate) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::Relaxed)
    }
}
