//! What is measured, for Prometheus: what is counted ([`counter`]), how long things take ([`timing`]), and how things stand ([`gauge`]). All
//! names are in these three files, in base units, each with what it means. What can be known before is there from the start, as zero: the
//! first of something is an increase only then.

mod counter;
mod gauge;
mod timing;

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_util::MetricKindMask;
use tokio::time::{MissedTickBehavior, interval};

use crate::error::Error;

pub(crate) use counter::{Counter, count, count_call, count_request};
pub(crate) use gauge::{Gauge, Gauges};
pub(crate) use timing::{Timing, time};

/// A gauge that was not set for so long is out of date: the database is away, or what the gauge described is gone.
const STALE: Duration = Duration::from_secs(60);

/// `functions` are those of the database that are called.
pub(crate) fn install(functions: &[&'static str]) -> Result<PrometheusHandle, Error> {
    let wrong = |error: metrics_exporter_prometheus::BuildError| Error::Metrics(error.to_string());
    let mut builder = PrometheusBuilder::new().idle_timeout(MetricKindMask::GAUGE, Some(STALE));
    for timing in Timing::ALL {
        let name = Matcher::Full(timing.name.to_owned());
        builder = builder
            .set_buckets_for_metric(name, timing.buckets)
            .map_err(wrong)?;
    }
    let handle = builder.install_recorder().map_err(wrong)?;
    counter::describe();
    timing::describe(functions);
    gauge::describe();
    Ok(handle)
}

/// Times are kept one by one until they are sorted into their buckets: without this, until somebody asks for them, which may
/// be never. Often, as what has gathered is sorted in one go.
pub(crate) async fn sort(handle: PrometheusHandle) {
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}
