//! What a call of the queue that failed means for the next ones.

use std::time::Instant;

use tracing::warn;

use super::state::Runner;
use crate::error::{Error, complain};

/// While it stops, so many attempts to complete what is done: the rest is given back.
const MOST_REFUSALS: u32 = 3;

impl Runner {
    pub(super) fn claim_failed(&mut self, error: Error) {
        if error.needs_new_session() {
            self.lose(&error.report());
            return;
        }
        // Nothing was claimed before: whoever started it can do more about it than another try.
        if self.gives_up && !self.has_claimed && error.is_refused_call() {
            self.refused = Some(error);
            return;
        }
        complain!(error, "jobs cannot be claimed now");
        self.may_have_more = true;
        self.claiming.begin(Instant::now());
    }

    pub(super) fn hand_in_failed(&mut self, error: &Error) {
        if error.needs_new_session() {
            self.lose(&error.report());
            return;
        }
        complain!(error, "finished jobs cannot be completed now");
        self.handing_in.begin(Instant::now());
    }

    pub(super) fn comparison_failed(&mut self, error: &Error) {
        match error.needs_new_session() {
            true => self.lose(&error.report()),
            // The next heartbeat is soon enough, and claims need not wait for it.
            false => complain!(error, "jobs cannot be compared now"),
        }
    }

    /// When the next call may be made that has to wait after a refusal.
    pub(super) fn next_call(&self) -> Option<Instant> {
        let now = Instant::now();
        let pauses = [&self.claiming, &self.handing_in];
        pauses.iter().filter_map(|it| it.until(now)).min()
    }

    /// Whether nothing is left to wait for: what the database refuses to complete is given back in the end.
    pub(super) fn has_handed_in(&self) -> bool {
        let is_refused = self.is_stopping && self.handing_in.refusals() >= MOST_REFUSALS;
        self.running.is_empty() && !self.is_handing_in && (self.done.is_empty() || is_refused)
    }

    /// Opens a session in the place of the lost one, or gets another lease.
    pub(super) fn lose(&mut self, reason: &str) {
        // Somebody is already doing it.
        if self.queue.take().is_none() {
            return;
        }
        warn!(reason, "no session with the queue");
        self.open_again();
    }
}
