//! The loop.

use std::mem;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::{self, JoinError};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{Instrument, debug, debug_span, info, warn};

use super::state::{Event, FIRST_PAUSE, Outcome, Runner, spawn_heartbeat};
use crate::error::{Error, INTERRUPTED};
use crate::interrupt::Interrupts;
use crate::job::failure::Failure;
use crate::job::report;

type Joined = Result<(task::Id, Outcome), JoinError>;

impl Runner {
    pub(crate) async fn work(mut self, interrupts: &mut Interrupts) -> Result<ExitCode, Error> {
        let wake = Arc::clone(&self.door.wake);
        let mut heartbeat = interval(self.door.lease / 3);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = None;
        let mut status = ExitCode::SUCCESS;
        loop {
            self.begin_jobs();
            self.compare();
            self.hand_in();
            self.claim();
            if self.is_stopping && self.has_handed_in() || self.is_out_of_jobs() {
                break;
            }
            let is_waiting = !self.may_have_more && !self.is_claiming;
            let next_look = self.next_look;
            let end = deadline.unwrap_or_else(|| Instant::now() + self.poll);
            tokio::select! {
                Some(event) = self.inbox.recv() => self.take(event),
                Some(joined) = self.running.join_next_with_id() => {
                    self.finish(joined);
                    // Everything else that has finished is completed in the same call.
                    while let Some(joined) = self.running.try_join_next_with_id() {
                        self.finish(joined);
                    }
                }
                () = wake.notified() => {
                    self.may_have_more = true;
                    self.pause = FIRST_PAUSE;
                }
                () = sleep_until(next_look.into()), if is_waiting => self.may_have_more = true,
                // A lost session may live on at the server for a while, and claim jobs.
                _ = heartbeat.tick() => self.must_compare = true,
                () = interrupts.next() => {
                    if mem::replace(&mut self.is_stopping, true) {
                        status = ExitCode::from(INTERRUPTED);
                        break;
                    }
                    info!(running = self.running.len(), "stopping");
                    deadline = Some(Instant::now() + self.grace);
                    self.give_back_held().await;
                }
                () = sleep_until(end.into()), if deadline.is_some() => {
                    warn!(running = self.running.len(), "the time to finish is over");
                    break;
                }
            }
        }
        self.stop().await;
        Ok(status)
    }

    fn has_handed_in(&self) -> bool {
        self.running.is_empty() && self.done.is_empty() && !self.is_handing_in
    }

    fn is_out_of_jobs(&self) -> bool {
        self.until_empty
            && self.has_handed_in()
            && self.held.is_empty()
            && !self.is_claiming
            && !self.may_have_more
            && self.queue.is_some()
    }

    fn begin_jobs(&mut self) {
        while !self.is_stopping
            && self.running.len() < self.concurrency
            && let Some(job) = self.held.pop_front()
        {
            let workers = Arc::clone(&self.workers);
            let its = job.clone();
            let span = debug_span!("job", class = self.workers.class(&job.worker).name);
            let performing = async move { workers.perform(&its).await };
            let task = self.running.spawn(performing.instrument(span));
            self.jobs.insert(task.id(), (job, Instant::now()));
        }
    }

    fn finish(&mut self, joined: Joined) {
        let (id, outcome) = match joined {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(Failure::of_task(error))),
        };
        let Some((job, begun)) = self.jobs.remove(&id) else {
            return;
        };
        let (class, took) = (self.workers.class(&job.worker), begun.elapsed());
        self.rate.count();
        match outcome {
            Ok(()) => {
                report::done(&job, class, took);
                self.done.completed.push(job);
            }
            Err(failure) => {
                report::failed(&job, class, took, &failure);
                self.done.failed.push_back((job, failure));
            }
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Claimed { most, jobs } => {
                self.is_claiming = false;
                match jobs {
                    Ok(Some(jobs)) => {
                        debug!(jobs = jobs.len(), most, "claimed");
                        self.may_have_more |= jobs.len() == most;
                        self.pause = match jobs.is_empty() {
                            true => (self.pause * 2).min(self.poll),
                            false => FIRST_PAUSE.min(self.poll),
                        };
                        self.next_look = Instant::now() + self.pause;
                        self.held.extend(jobs);
                    }
                    Ok(None) => self.lose("the lease has ended"),
                    Err(error) => self.lose(&error.report()),
                }
            }
            Event::Compared(released) => {
                self.is_claiming = false;
                match released {
                    Ok(0) => {}
                    Ok(jobs) => info!(jobs, "gave back what it had not heard of"),
                    Err(error) => self.lose(&error.report()),
                }
            }
            Event::HandedIn { left, error } => {
                self.is_handing_in = false;
                self.counts[0] -= left.completed.len() as u64;
                self.counts[1] -= left.failed.len() as u64;
                self.done.completed.extend(left.completed);
                self.done.failed.extend(left.failed);
                if let Some(error) = error {
                    self.lose(&error.report());
                }
            }
            Event::Opened(queue, runner) => {
                if runner != *self.runner.borrow() {
                    // Others have them.
                    self.held.clear();
                    self.runner.send_replace(runner);
                    spawn_heartbeat(&self.door, self.runner.subscribe(), &self.events);
                }
                self.queue = Some(queue);
                self.must_compare = true;
                self.may_have_more = true;
            }
            Event::LeaseEnded => self.lose("the lease has ended"),
        }
    }
}
