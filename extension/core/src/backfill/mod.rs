//! The backfill engine: runs a job over all rows of a table of any size, while the table is in use.
//!
//! A *run* of a job hands out *ranges* of keys, each to one worker at a time. The worker processes its range in
//! *sub-batches*, one transaction each. Rows, counts and the position in the range change together, so a crash neither skips nor
//! repeats a row. Before each sub-batch the worker checks whether others need the server more; afterwards it adapts the size to
//! the time taken.
//!
//! A *job* only knows how to process one range of keys ([`jobs`]); the engine does the rest ([`runs`]). SQL callers start a
//! single batch ([`batch`]), ask what a job would do ([`preview`]) or control runs ([`control`]); runs that have lost their workers are resumed
//! ([`lost`]), by a worker of the server's own where the library is preloaded ([`launcher`]).

mod batch;
mod control;
mod jobs;
mod launcher;
mod lost;
mod preview;
mod runs;

pub(crate) use launcher::register as register_launcher;
pub(crate) use runs::presence::end_of_transaction;
