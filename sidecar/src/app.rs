//! What requests and jobs of the Slack app share.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics_exporter_prometheus::PrometheusHandle;
use nonzero_ext::nonzero;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::chatops::Environments;
use crate::config::Config;
use crate::database::SlackDatabase;
use crate::error::Error;
use crate::notification::Publisher;
use crate::page::{Guesses, Looks};
use crate::slack::SlackClient;

/// More than people begin in a second, and how many may do so at once.
const BEGINNINGS: NonZeroU32 = nonzero!(5_u32);
const BURST: NonZeroU32 = nonzero!(50_u32);

/// Jobs wait for Slack most of the time.
const JOB_SESSIONS: usize = 4;

/// One reports while the other looks for drift, which takes long.
const STATUS_SESSIONS: usize = 2;

pub(crate) struct App {
    pub(crate) config: Config,
    /// For requests.
    pub(crate) database: SlackDatabase,
    /// For what nobody waits for: jobs that are slow are not to keep requests waiting.
    pub(crate) for_jobs: SlackDatabase,
    /// For messages to channels, whose pace is not to depend on anything else.
    pub(crate) for_deliveries: SlackDatabase,
    /// There may be some.
    pub(crate) delivery_wake: Arc<Notify>,
    /// For the status page: who looks at how things stand is not to make them worse.
    pub(crate) for_status: SlackDatabase,
    /// For what GitLab tells of.
    pub(crate) publisher: Publisher,
    /// For whoever asks whether this process is of use: requests that wait for a lock are no reason to say no.
    pub(crate) for_readiness: SlackDatabase,
    /// What chatops changes.
    pub(crate) environments: Environments,
    pub(crate) slack: SlackClient,
    pub(crate) metrics: PrometheusHandle,
    /// Anybody can begin an installation, and each is a row for a while.
    pub(crate) beginnings: DefaultDirectRateLimiter,
    /// Answers that are given after their request is over; a graceful stop waits for them.
    pub(crate) late: TaskTracker,
    /// What viewers are shown.
    pub(crate) looks: Looks,
    /// Wrong passwords of viewers.
    pub(crate) guesses: Guesses,
    is_draining: AtomicBool,
}

impl App {
    pub(crate) fn new(config: Config, metrics: PrometheusHandle) -> Result<Self, Error> {
        let database = |sessions| SlackDatabase::new(&config.address, &config.schema, sessions);
        let database_for_requests = database(config.sessions)?;
        let late = TaskTracker::new();
        let delivery_wake = Arc::new(Notify::new());
        Ok(Self {
            publisher: Publisher::new(database_for_requests.clone(), late.clone()),
            database: database_for_requests,
            for_jobs: database(config.job_concurrency.clamp(1, JOB_SESSIONS))?,
            for_deliveries: SlackDatabase::for_deliveries(
                &config.address,
                &config.schema,
                Arc::clone(&delivery_wake),
            )?,
            delivery_wake,
            for_status: database(STATUS_SESSIONS)?,
            for_readiness: database(1)?,
            environments: Environments::new(&config.chatops, &config.schema)?,
            slack: SlackClient::new(&config.slack_url)?,
            config,
            metrics,
            beginnings: RateLimiter::direct(Quota::per_second(BEGINNINGS).allow_burst(BURST)),
            late,
            looks: Looks::default(),
            guesses: Guesses::default(),
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
