//! The sidecar's database commands: `work` and `backfill`.

mod backfill;
mod work;
mod work_crash;
mod worker;
