//! Sizes sub-batches so that each takes about the target time, and measures the rate.

use super::settings::Settings;
use std::cell::RefCell;
use std::time::Instant;

/// A step at most doubles the size, so that one fast sub-batch of completed rows does not lead to one that takes minutes.
const MOST_GROWTH: f64 = 2.0;
const MOST_SHRINKAGE: f64 = 0.25;

/// The fraction of the target time that the next sub-batch is sized for. Equal sub-batches vary by half and more, because some
/// read pages that are not in memory and some meet a checkpoint; so only a rare one exceeds the target.
const AIM: f64 = 0.75;

/// The size stays if a sub-batch took within a tenth of the time it was sized for.
const TOLERANCE: f64 = 0.1;

/// The size of the next sub-batch, after one of at most `size` rows that processed `rows` rows in `ms`.
pub(super) fn next_size(settings: &Settings, size: i32, rows: i64, ms: f64) -> i32 {
    if settings.target_ms == 0 {
        // It may have been reduced after a failure.
        return size.saturating_mul(2).min(settings.sub_batch_size);
    }
    // The last sub-batch of a range is small and says nothing about the rate.
    if rows < i64::from(size) {
        return size;
    }
    let ratio = f64::from(settings.target_ms) * AIM / ms.max(0.001);
    if (ratio - 1.0).abs() <= TOLERANCE {
        return size;
    }
    let next = f64::from(size) * ratio.clamp(MOST_SHRINKAGE, MOST_GROWTH);
    (next as i32).clamp(1, settings.max_sub_batch_size)
}

/// The size after a timeout, or after others had to wait.
pub(super) fn smaller(size: i32) -> i32 {
    (size / 2).max(1)
}

/// What this process has measured for a run.
struct Pace {
    run: i64,
    size: i32,
    since: Instant,
    rows_per_second: Option<f64>,
}

/// The weight of the newest sub-batch in the rate.
const WEIGHT: f64 = 0.2;

thread_local! {
    static PACE: RefCell<Option<Pace>> = const { RefCell::new(None) };
}

/// The size to start a range with.
pub(super) fn size_for(run: i64, settings: &Settings) -> i32 {
    PACE.with_borrow(|pace| match pace {
        Some(pace) if pace.run == run => pace.size.min(settings.max_sub_batch_size),
        _ => settings.sub_batch_size,
    })
}

/// Records a sub-batch and returns the rate in rows per second, pauses included.
pub(super) fn rate(run: i64, next_size: i32, rows: i64, ms: f64) -> f64 {
    PACE.with_borrow_mut(|pace| {
        let now = Instant::now();
        let former = pace.take().filter(|pace| pace.run == run);
        // The first one has no predecessor to measure from.
        let seconds = former
            .as_ref()
            .map_or(ms / 1000.0, |former| (now - former.since).as_secs_f64());
        let newest = rows as f64 / seconds.max(1e-6);
        let rows_per_second = match former.and_then(|former| former.rows_per_second) {
            Some(rate) => rate * (1.0 - WEIGHT) + newest * WEIGHT,
            None => newest,
        };
        *pace = Some(Pace {
            run,
            size: next_size,
            since: now,
            rows_per_second: Some(rows_per_second),
        });
        rows_per_second
    })
}
