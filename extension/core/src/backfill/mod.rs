//! The backfill engine: does a job to all rows of a table of any size while others use it.
//!
//! A *run* of a job hands out *ranges* of keys, each to one worker at a time, who does it in
//! *sub-batches*, a transaction each: the rows, the counts and the place in the range change together, so a crash
//! at any moment neither skips nor repeats a row. Before each sub-batch it asks whether others need the server more;
//! after it, it fits the size to the time it took.
//!
//! A *job* only knows how to do one range of keys ([`jobs`]); the rest is the engine's ([`runs`]). Who asks for a batch ([`batch`]) or has a
//! say over runs ([`control`]) calls in from SQL.

mod batch;
mod control;
mod jobs;
mod runs;

pub(crate) use runs::presence::end_of_transaction;
