//! The sidecar's database commands: `work` and `backfill`.

mod backfill;
mod refused;
mod tls;
pub(crate) mod work;
mod work_crash;
mod worker;
