//! Log messages about runs: LOG when one starts, goes on or ends, WARNING when something keeps it from doing all rows. The line says at
//! once what `backfill_progress` says to those who ask. A run has its name from [`Run::name`](super::run::Run::name).

use crate::backfill::jobs::KeyRange;
use lockstep_server::Failure;
use pgrx::{log, warning};

pub(crate) fn begun(run: &str, workers: i32) {
    match workers {
        0 => log!("{run}: started in this session"),
        workers => log!("{run}: started, workers: {workers}"),
    }
}

pub(super) fn changed(run: &str, status: &str) {
    log!("{run}: {status}");
}

pub(super) fn failed(run: &str, id: i64) {
    warning!(
        "{run}: failed, as ranges were set aside: see lockstep.backfill_set_aside, then call lockstep.retry_backfill({id})"
    );
}

pub(super) fn not_resumed(id: i64, error: &str) {
    warning!("backfill run {id} has lost its workers and cannot be resumed: {error}");
}

pub(super) fn resumed_with_fewer(id: i64, fewer: &str) {
    warning!("backfill run {id} has lost its workers and goes on with fewer: {fewer}");
}

pub(super) fn given_up(run: &str, id: i64, error: &str) {
    warning!(
        "{run}: paused, as its workers failed too often: {error}; call lockstep.resume_backfill({id})"
    );
}

/// Keys name the rows; what else is in them is nobody's business who reads the log.
pub(super) fn set_aside(run: &str, part: &KeyRange, failure: &Failure) {
    let (after, last) = (part.after.join(", "), part.last.join(", "));
    warning!(
        "{run}: set aside the rows after key ({after}) up to ({last}): {}",
        failure.message
    );
}
