//! How many rows a sub-batch takes, so that it takes about as long as it should, and how fast that is.

use super::settings::Settings;
use std::cell::RefCell;
use std::time::Instant;

/// A step up at most doubles, so that one fast sub-batch of rows that were done already does not lead to one of minutes.
const MOST_GROWTH: f64 = 2.0;
const MOST_SHRINKAGE: f64 = 0.25;

/// Part of the target that the next sub-batch is cut for. Equal sub-batches differ in time by a half and more, since some
/// meet pages that nobody has in memory and some a checkpoint; so it is the rare one that goes beyond the target.
const AIM: f64 = 0.75;

/// Where a sub-batch took within a tenth of what it was cut for, its size stays.
const TOLERANCE: f64 = 0.1;

/// The size of the next sub-batch, after one of `size` rows at most, of which there were `rows`, that took `ms`.
pub(super) fn next_size(settings: &Settings, size: i32, rows: i64, ms: f64) -> i32 {
    if settings.target_ms == 0 {
        // It may have been made smaller because it failed.
        return size.saturating_mul(2).min(settings.sub_batch_size);
    }
    // The last sub-batch of a range is small, and tells nothing.
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

/// The size after a time-out, or after others had to wait.
pub(super) fn smaller(size: i32) -> i32 {
    (size / 2).max(1)
}

/// What this process has learned from the sub-batches of a run.
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

/// The size to begin a range with.
pub(super) fn size_for(run: i64, settings: &Settings) -> i32 {
    PACE.with_borrow(|pace| match pace {
        Some(pace) if pace.run == run => pace.size.min(settings.max_sub_batch_size),
        _ => settings.sub_batch_size,
    })
}

/// Takes note of a sub-batch; answers the rate of rows per second, pauses included.
pub(super) fn rate(run: i64, next_size: i32, rows: i64, ms: f64) -> f64 {
    PACE.with_borrow_mut(|pace| {
        let now = Instant::now();
        let former = pace.take().filter(|pace| pace.run == run);
        // The first one has none before it to measure from.
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
