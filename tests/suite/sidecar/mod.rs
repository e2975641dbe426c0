//! The program beside the database: `work` and `backfill`.

mod backfill;
mod work;
mod work_crash;
mod worker;
