//! The backfill engine: does a job to all rows of a table of any size while others use it.
//!
//! A *run* of a job ([`run`]) hands out *ranges* of keys ([`range`]), each to one worker at a time, who does it in
//! *sub-batches*, a transaction each ([`step`]): the rows, the counts and the place in the range change together, so a crash
//! at any moment neither skips nor repeats a row. Before each sub-batch it asks whether others need the server more
//! ([`hold`]); after it, it fits the size to the time it took ([`pace`]).
//!
//! A *job* ([`job`]) only knows how to do one range of keys.

mod batch;
mod built_in;
mod control;
mod counts;
mod deadline;
mod hold;
mod job;
mod key;
mod pace;
mod presence;
mod range;
mod registered;
mod registry;
mod run;
mod settings;
mod step;
mod worker;

pub(crate) use control::{By, cancel, pause, resume, retry, start};

/// Called once, when the library is loaded into a backend.
pub(crate) fn init() {
    presence::init();
}
