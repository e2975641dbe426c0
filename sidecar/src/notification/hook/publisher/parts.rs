//! A batch that may fail because of some of its events.

use std::collections::VecDeque;
use std::time::Duration;

use super::waiting::Waiting;

/// Once it has failed, the culprit is searched by halves; then parts grow again as long as that works.
pub(super) struct Parts {
    pub(super) rest: VecDeque<Waiting>,
    pub(super) patience: Duration,
    size: usize,
    /// How many of the next ones failed together.
    suspects: usize,
}

impl Parts {
    pub(super) fn new(batch: Vec<Waiting>, patience: Duration) -> Self {
        Self {
            size: batch.len(),
            rest: batch.into(),
            patience,
            suspects: 0,
        }
    }

    pub(super) fn next(&mut self) -> Option<Vec<Waiting>> {
        let size = self.size.min(self.rest.len());
        (size > 0).then(|| self.rest.drain(..size).collect())
    }

    pub(super) fn succeeded(&mut self, events: usize) {
        self.suspects = self.suspects.saturating_sub(events);
        self.size = match self.suspects {
            0 => self.size.saturating_mul(2),
            some => (some / 2).max(1),
        };
    }

    /// None of several.
    pub(super) fn failed(&mut self, part: Vec<Waiting>) {
        self.suspects = part.len();
        self.size = (self.suspects / 2).max(1);
        part.into_iter()
            .rev()
            .for_each(|it| self.rest.push_front(it));
    }

    /// Alone, it failed as well.
    pub(super) fn found(&mut self) {
        self.suspects = 0;
    }
}
