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
            if self.refused.is_some() {
                break;
            }
            let next_call = self.next_call();
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
                // The next turn makes the call.
                () = sleep_until(next_call.unwrap_or(next_look).into()), if next_call.is_some() => {}
                _ = heartbeat.tick() => {
                    // A lost session may live on at the server for a while, and claim jobs.
                    self.must_compare = true;
                    self.done.try_refused_again();
                }
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
        match self.refused {
            Some(error) => Err(error),
            None => Ok(status),
        }
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
                self.done.add(job, None);
            }
            Err(failure) => {
                report::failed(&job, class, took, &failure);
                self.done.add(job, Some(failure));
            }
        }
    }

    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Claimed { most, jobs } => {
                self.is_claiming = false;
                match jobs {
                    Ok(Some(jobs)) => {
                        self.has_claimed = true;
                        self.claiming.end();
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
                    Err(error) => self.claim_failed(error),
                }
            }
            Event::Compared(released) => {
                self.is_claiming = false;
                match released {
                    Ok(0) => {}
                    Ok(jobs) => info!(jobs, "gave back what it had not heard of"),
                    Err(error) => self.comparison_failed(&error),
                }
            }
            Event::HandedIn { left, error } => {
                self.is_handing_in = false;
                self.subtract(left.count());
                self.done.extend(left);
                match error {
                    None => self.handing_in.end(),
                    Some(error) => self.hand_in_failed(&error),
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
