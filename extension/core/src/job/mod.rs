//! The job queue. A job is enqueued in the transaction that causes it ([`enqueue`]). A runner ([`runner`]) claims jobs
//! ([`claim`], from those that [`waiting`] finds) and reports their outcome ([`outcome`]); jobs that failed for good are kept
//! ([`dead`]). Workers have retry rules ([`worker`]), names that change behind a feature flag ([`rename`]), and limits ([`limit`]).
//! Recurring jobs are enqueued at the times of a cron expression ([`schedule`], [`cron`]).

mod claim;
mod cron;
mod dead;
mod enqueue;
mod key;
mod limit;
mod outcome;
mod rename;
mod runner;
mod schedule;
mod waiting;
mod worker;

pub(crate) use limit::forget_uses_of_unlimited;
pub(crate) use schedule::correct_schedules;
pub(crate) use waiting::{forget_places, forget_places_of_nobody};

/// A runner that claims more at once keeps them from others.
const MOST_AT_ONCE: i32 = 10_000;

/// Names and keys are indexed, and index rows are short.
const MOST_CHARACTERS: usize = 255;

fn check_worker(name: &str) -> crate::error::Result<()> {
    match name.chars().count() {
        1..=MOST_CHARACTERS => Ok(()),
        _ => Err(crate::error::JobError::WorkerName {
            worker: name.chars().take(50).collect(),
        }
        .into()),
    }
}
