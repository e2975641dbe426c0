//! Where the library is preloaded, runs that have lost their workers go on without a sidecar or pg_cron.
//!
//! A launcher starts with the server, on a standby when it is promoted. It looks into one database after the other, each time with a
//! worker that stays for a moment: as one that stayed for good would be in the way of DROP DATABASE, and of copies. A database that has
//! another version of the extension than this library is left alone until both are the same.

use super::lost::resume_lost;
use crate::error::OrRaise;
use lockstep_server::preload::{
    begin_as_extension, begin_outside, databases, in_memory_of_its_own, is_preloading,
};
use lockstep_server::worker::{reload, this_process, transaction, wait};
use lockstep_server::{is_on_worker, within};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::pg_sys::{Datum, Oid};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::time::{Duration, Instant};

/// Also how long an administrator has to switch it off, should it bring the server down.
const RESTART: Duration = Duration::from_secs(10);

/// Between two looks: at first often, as workers that were asked for before a crash are waited for, then as often as autovacuum.
const SOON: Duration = Duration::from_secs(4);
const LATER: Duration = Duration::from_secs(60);
const AT_FIRST: Duration = Duration::from_secs(120);

/// A DROP DATABASE waits for five seconds for sessions to leave.
const LOOK_MS: i32 = 3_000;

static IS_ON: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Called when the library is loaded.
pub(crate) fn register() {
    if !is_preloading() {
        return;
    }
    GucRegistry::define_bool_guc(
        c"lockstep.resume_backfills",
        c"Resumes backfills that have lost their workers.",
        c"On: a launcher looks into each database, every 4 seconds in the first two minutes and then each minute, as a restart or failover ends all workers. \
          Off: a sidecar, pg_cron or a person resumes them.",
        &IS_ON,
        GucContext::Sighup,
        GucFlags::default(),
    );
    BackgroundWorkerBuilder::new("lockstep: launcher")
        .set_type("lockstep launcher")
        .set_library("lockstep")
        .set_function("lockstep_launcher")
        .set_restart_time(Some(RESTART))
        .enable_spi_access()
        .load();
}

/// Entry point of the launcher.
#[expect(unsafe_code, reason = "PostgreSQL looks it up by this name")]
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn lockstep_launcher(_argument: Datum) {
    begin_outside();
    let begun = Instant::now();
    while pause(if begun.elapsed() < AT_FIRST {
        SOON
    } else {
        LATER
    }) {
        reload();
        if !IS_ON.get() {
            continue;
        }
        match databases() {
            // What PostgreSQL remembers of a worker that it has started is kept in the current memory.
            Ok(databases) => in_memory_of_its_own(|| databases.into_iter().for_each(look_into)),
            Err(failure) => pgrx::log!("lockstep launcher: {}", failure.message),
        }
    }
}

/// Returns false if the server is gone. Its own workers, as they end, wake it.
fn pause(length: Duration) -> bool {
    let begun = Instant::now();
    while let Some(rest) = length.checked_sub(begun.elapsed()) {
        if !wait(rest) {
            return false;
        }
    }
    true
}

/// Starts a worker there and waits until it has ended.
fn look_into(database: Oid) {
    let worker = BackgroundWorkerBuilder::new("lockstep: looks for lost backfills")
        .set_type("lockstep look")
        .set_library("lockstep")
        .set_function("lockstep_look_for_lost_backfills")
        .set_extra(&database.to_u32().to_string())
        .set_notify_pid(this_process())
        .enable_spi_access()
        .load_dynamic();
    match worker {
        // If the server has gone instead, the launcher's next pause notices.
        Ok(worker) => drop(worker.wait_for_shutdown()),
        Err(_) => pgrx::log!(
            "lockstep launcher: no worker left of max_worker_processes to look for lost backfills"
        ),
    }
}

/// Entry point of the worker that looks into one database.
#[expect(unsafe_code, reason = "PostgreSQL looks it up by this name")]
#[unsafe(no_mangle)]
#[pg_guard]
pub extern "C-unwind" fn lockstep_look_for_lost_backfills(_argument: Datum) {
    let Ok(database) = BackgroundWorker::get_extra().parse::<u32>() else {
        return;
    };
    let version = env!("CARGO_PKG_VERSION");
    let Some(role) = begin_as_extension(Oid::from(database), version) else {
        return;
    };
    let looked = transaction(role, || {
        // What a worker of Citus has is empty.
        if !is_on_worker() {
            within(LOOK_MS, || resume_lost().or_raise());
        }
    });
    if let Err(failure) = looked {
        pgrx::log!("lockstep launcher: {}", failure.message);
    }
}
