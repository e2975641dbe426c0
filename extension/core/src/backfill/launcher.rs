//! Where the library is preloaded, runs that have lost their workers go on without a sidecar or pg_cron.
//!
//! A launcher starts with the server, on a standby when it is promoted. It looks into one database after the other, each time with a
//! worker that stays for a moment: as one that stayed for good would be in the way of DROP DATABASE, and of copies. A database without
//! the extension, or with another version of it than this library, is left alone until a run starts there; as both may come with runs
//! that nobody started here, by a restore or an update, it is looked into again after a while.

use super::lost::resume_lost;
use crate::error::OrRaise;
use lockstep_server::lock::{self, Kind};
use lockstep_server::preload::{
    announced, begin_as_extension, begin_outside, databases, in_memory_of_its_own, is_not_ours,
    is_preloading, reserve_settings, share_memory, was_not_ours,
};
use lockstep_server::worker::{reload, this_process, transaction, wait};
use lockstep_server::{Failure, is_on_worker, within};
use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::pg_sys::{self, Datum, Oid};
use pgrx::prelude::*;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Shows in pg_locks that a launcher runs. The number is the version of the library, see `version`; the progress view uses both.
const LAUNCHER: Kind = Kind(0x4c5a);
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// If it has ended with an error. After a crash of the server PostgreSQL starts it at once.
const RESTART: Duration = Duration::from_secs(10);

/// Before the first look: how long an administrator has to switch it off, should a look bring the server down each time.
const FIRST: Duration = Duration::from_secs(10);

/// Between two looks: at first often, as workers that were asked for before a crash are waited for, then as often as autovacuum.
const SOON: Duration = Duration::from_secs(4);
const LATER: Duration = Duration::from_secs(60);
const AT_FIRST: Duration = Duration::from_secs(120);

/// Between two looks into a database where there was nothing for us.
const RARELY: Duration = Duration::from_secs(600);

/// A DROP DATABASE waits for five seconds for sessions to leave.
const LOOK_MS: i32 = 3_000;

static IS_ON: GucSetting<bool> = GucSetting::<bool>::new(true);

/// Called when the library is loaded.
pub(crate) fn register() {
    if !is_preloading() {
        return;
    }
    share_memory();
    GucRegistry::define_bool_guc(
        c"lockstep.resume_backfills",
        c"Resumes backfills that have lost their workers.",
        c"On: a launcher looks into each database with the extension, every 4 seconds in the first two minutes and then each minute, as a restart or failover ends all workers. \
          Off: a sidecar, pg_cron or a person resumes them.",
        &IS_ON,
        GucContext::Sighup,
        GucFlags::default(),
    );
    reserve_settings(c"lockstep");
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
    lock::try_keep(LAUNCHER, 0, version(VERSION), pg_sys::ExclusiveLock);
    let begun = Instant::now();
    let mut left_alone = HashMap::new();
    let mut length = FIRST;
    while pause(length) {
        length = match begun.elapsed() {
            elapsed if elapsed < AT_FIRST => SOON,
            _ => LATER,
        };
        reload();
        if IS_ON.get() {
            look(&mut left_alone);
        }
    }
}

/// The version as a number: 1.2.3 is 1002003.
fn version(text: &str) -> u32 {
    let numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    numbers.fold(0, |version: u32, number: u32| {
        version.wrapping_mul(1_000).wrapping_add(number)
    })
}

/// Looks into all databases, except those where there was nothing for us.
fn look(left_alone: &mut HashMap<Oid, Instant>) {
    let is_announced = announced();
    left_alone.retain(|database, since| since.elapsed() < RARELY && !is_announced(*database));
    let databases = match databases() {
        Ok(databases) => databases,
        Err(failure) => return log(&failure),
    };
    let to_look = databases
        .into_iter()
        .filter(|database| !left_alone.contains_key(database))
        .collect::<Vec<_>>();
    // What PostgreSQL remembers of a worker that it has started is kept in the current memory.
    let _ = in_memory_of_its_own(|| {
        to_look.into_iter().try_for_each(|database| {
            look_into(database)?;
            if was_not_ours(database) {
                left_alone.insert(database, Instant::now());
            }
            ControlFlow::Continue(())
        })
    });
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

/// Starts a worker there and waits until it has ended. If there is no place for one, there is none for the next database either.
fn look_into(database: Oid) -> ControlFlow<()> {
    let worker = BackgroundWorkerBuilder::new("lockstep: looks for lost backfills")
        .set_type("lockstep look")
        .set_library("lockstep")
        .set_function("lockstep_look_for_lost_backfills")
        .set_extra(&database.to_u32().to_string())
        .set_notify_pid(this_process())
        .enable_spi_access()
        .load_dynamic();
    match worker {
        Ok(worker) => {
            // If the server has gone instead, the launcher's next pause notices.
            let _ = worker.wait_for_shutdown();
            ControlFlow::Continue(())
        }
        Err(_) => {
            pgrx::log!(
                "lockstep launcher: no worker left of max_worker_processes to look for lost backfills"
            );
            ControlFlow::Break(())
        }
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
    let database = Oid::from(database);
    let role = match begin_as_extension(database, VERSION) {
        Ok(Some(role)) => role,
        Ok(None) => return is_not_ours(database),
        Err(failure) => return log(&failure),
    };
    let looked = transaction(role, || {
        // What a worker of Citus has is empty.
        if !is_on_worker() {
            within(LOOK_MS, || resume_lost().or_raise());
        }
    });
    if let Err(failure) = looked {
        log(&failure);
    }
}

fn log(failure: &Failure) {
    pgrx::log!("lockstep launcher: {}", failure.message);
}
