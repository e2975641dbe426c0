//! What requests and jobs of the Slack app share.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use nonzero_ext::nonzero;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::database::SlackDatabase;
use crate::error::Error;
use crate::slack::SlackClient;

/// More than people begin in a second, and how many may do so at once.
const BEGINNINGS: NonZeroU32 = nonzero!(5_u32);
const BURST: NonZeroU32 = nonzero!(50_u32);

pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) database: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) metrics: PrometheusHandle,
    /// Anybody can begin an installation, and each is a row for a while.
    pub(crate) beginnings: DefaultDirectRateLimiter,
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
            beginnings: RateLimiter::direct(Quota::per_second(BEGINNINGS).allow_burst(BURST)),
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
