//! The sidecar's database commands: `work` and `backfill`.

mod backfill;
pub(crate) mod work;
mod work_crash;
mod worker;
