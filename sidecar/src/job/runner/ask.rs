//! What the loop asks of the queue. It does not wait for it, except at its end.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use tracing::{info, warn};

use super::state::{Event, Runner};
use crate::error::complain;

impl Runner {
    /// Claims as many jobs as there is room for, and as many as will be finished before the next claim can return.
    pub(super) fn claim(&mut self) {
        let ahead = self.rate.per_window(Instant::now());
        let target = self.concurrency + ahead;
        let has = self.running.len() + self.held.len();
        // No slot stays empty; jobs are claimed in advance in large batches.
        let has_room = has < self.concurrency || has <= target / 2;
        if self.is_claiming || self.is_stopping || !self.may_have_more || !has_room {
            return;
        }
        if self.claiming.until(Instant::now()).is_some() {
            return;
        }
        let Some(queue) = self.queue.clone() else {
            return;
        };
        self.is_claiming = true;
        self.may_have_more = false;
        let most = target - has;
        let runner = *self.runner.borrow();
        let (names, events) = (Arc::clone(&self.names), self.events.clone());
        tokio::spawn(async move {
            let number = i32::try_from(most).unwrap_or(i32::MAX);
            let jobs = queue.claim(runner, &names, number).await;
            // The loop only ends with the process.
            let _ = events.send(Event::Claimed { most, jobs });
        });
    }

    /// Returns jobs that the server has assigned to us, and we do not know.
    pub(super) fn compare(&mut self) {
        // Jobs that are being claimed or completed are neither known nor unknown.
        if !self.must_compare || self.is_claiming || self.is_handing_in || self.is_stopping {
            return;
        }
        let Some(queue) = self.queue.clone() else {
            return;
        };
        self.must_compare = false;
        self.is_claiming = true;
        let runner = *self.runner.borrow();
        let known = self
            .held
            .iter()
            .chain(self.jobs.values().map(|(job, _)| job));
        let known: Vec<i64> = known.chain(self.done.jobs()).map(|job| job.id).collect();
        let events = self.events.clone();
        tokio::spawn(async move {
            let released = queue.release_others(runner, &known).await;
            let _ = events.send(Event::Compared(released));
        });
    }

    /// Completes everything that has finished since the last time.
    pub(super) fn hand_in(&mut self) {
        let is_paused = self.handing_in.until(Instant::now()).is_some();
        if self.is_handing_in || self.done.is_empty() || is_paused {
            return;
        }
        let Some(queue) = self.queue.clone() else {
            return;
        };
        self.is_handing_in = true;
        let mut left = mem::take(&mut self.done);
        self.add(left.count());
        let events = self.events.clone();
        tokio::spawn(async move {
            let error = left.hand_in(&queue).await.err();
            let _ = events.send(Event::HandedIn { left, error });
        });
    }

    pub(super) fn open_again(&self) {
        let (door, events) = (Arc::clone(&self.door), self.events.clone());
        let runner = *self.runner.borrow();
        tokio::spawn(async move {
            let (queue, runner) = door.open_again(runner).await;
            let _ = events.send(Event::Opened(queue, runner));
        });
    }

    /// Completed and failed jobs, for the line at the end.
    fn add(&mut self, [done, failed]: [u64; 2]) {
        self.counts[0] += done;
        self.counts[1] += failed;
    }

    /// Those that were not handed in after all.
    pub(super) fn subtract(&mut self, [done, failed]: [u64; 2]) {
        self.counts[0] -= done;
        self.counts[1] -= failed;
    }

    pub(super) async fn give_back_held(&mut self) {
        let jobs: Vec<i64> = self.held.drain(..).map(|job| job.id).collect();
        let runner = *self.runner.borrow();
        if let Some(queue) = &self.queue
            && !jobs.is_empty()
            && let Err(error) = queue.release(runner, &jobs).await
        {
            complain!(error, "jobs are not given back");
        }
    }

    /// Completes finished jobs, and returns the rest.
    pub(super) async fn stop(&mut self) {
        self.running.shutdown().await;
        // Waits for jobs that are being completed right now, so that they are not returned.
        while self.is_handing_in || self.is_claiming {
            match self.inbox.recv().await {
                Some(event) => self.take(event),
                None => break,
            }
        }
        let runner = *self.runner.borrow();
        if let Some(queue) = self.queue.take() {
            let mut left = mem::take(&mut self.done);
            left.try_refused_again();
            self.add(left.count());
            let handed_in = left.hand_in(&queue).await;
            self.subtract(left.count());
            let stopped = match handed_in {
                Err(error) if error.needs_new_session() => Err(error),
                handed_in => {
                    if let Err(error) = handed_in {
                        complain!(error, "finished jobs are not completed");
                    }
                    queue.stop_runner(runner).await
                }
            };
            match stopped {
                Ok(given_back) => {
                    let [done, failed] = self.counts;
                    info!(runner, done, failed, given_back, "stopped");
                    return;
                }
                Err(error) => complain!(error, "jobs are not given back"),
            }
        }
        warn!(runner, "others take over its jobs when its lease ends");
    }
}
