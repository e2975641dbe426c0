//! The job queue. A job is enqueued in the transaction that causes it ([`enqueue`]). A runner ([`runner`]) claims jobs
//! ([`claim`]) and says what became of them ([`outcome`]); what failed for good is kept ([`dead`]). Workers have rules for trying
//! again ([`worker`]), and names that change behind a feature flag ([`rename`]).

mod claim;
mod dead;
mod enqueue;
mod outcome;
mod rename;
mod runner;
mod worker;

/// A runner that takes more at once holds them back from others.
const MOST_AT_ONCE: i32 = 10_000;

/// A name or a key is part of an index, whose rows are short.
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
