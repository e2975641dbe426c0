//! Claims jobs, runs and completes them. One loop decides; waiting for the database is done in tasks that report to the loop, so
//! that claiming, running and completing happen at the same time.

use std::collections::{HashMap, VecDeque};
use std::mem;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep_until};
use tracing::{Instrument, debug, debug_span, info, warn};

use super::Workers;
use super::done::Done;
use super::failure::Failure;
use super::rate::Rate;
use super::report;
use super::session::{self, Door};
use crate::connection::Address;
use crate::database::{Job, Queue};
use crate::error::{Error, INTERRUPTED, complain};
use crate::interrupt::Interrupts;

/// Until the first look after jobs were found.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

type Outcome = Result<(), Failure>;
type Joined = Result<(task::Id, Outcome), JoinError>;

enum Event {
    Claimed {
        most: usize,
        jobs: Result<Option<Vec<Job>>, Error>,
    },
    HandedIn {
        left: Done,
        error: Option<Error>,
    },
    Compared(Result<i64, Error>),
    Opened(Arc<Queue>, i64),
    LeaseEnded,
}

/// How jobs are run.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The name of this process; host and process number if not given.
    pub(crate) name: Option<String>,
    pub(crate) concurrency: usize,
    pub(crate) lease: Duration,
    pub(crate) poll: Duration,
    pub(crate) grace: Duration,
    pub(crate) until_empty: bool,
}

pub(crate) struct Runner {
    door: Arc<Door>,
    workers: Arc<dyn Workers>,
    names: Arc<[&'static str]>,
    concurrency: usize,
    poll: Duration,
    grace: Duration,
    until_empty: bool,

    /// None while the connection is lost.
    queue: Option<Arc<Queue>>,
    runner: watch::Sender<i64>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,

    /// Claimed, not started.
    held: VecDeque<Job>,
    running: JoinSet<Outcome>,
    jobs: HashMap<task::Id, (Job, Instant)>,
    done: Done,
    rate: Rate,
    /// Also during a comparison, because newly claimed jobs would look unknown.
    is_claiming: bool,
    is_handing_in: bool,
    /// There may be unclaimed jobs.
    may_have_more: bool,
    /// When to look without a notification: soon after the last jobs, then less and less often. There is no notification for jobs
    /// that were being enqueued just as we started to wait.
    next_look: Instant,
    pause: Duration,
    /// The server may have assigned us jobs without our knowledge, because a response was lost.
    must_compare: bool,
    is_stopping: bool,
    counts: [u64; 2],
}

impl Runner {
    pub(crate) async fn start(
        settings: Settings,
        address: Address,
        workers: Arc<dyn Workers>,
    ) -> Result<Self, Error> {
        let door = Arc::new(Door {
            address,
            name: settings.name.unwrap_or_else(session::own_name),
            lease: settings.lease,
            wake: Arc::new(Notify::new()),
        });
        let queue = door.open().await?;
        let number = door.begin(&queue).await?;
        info!(runner = number, name = door.name, "started");
        let (runner, number) = watch::channel(number);
        let (events, inbox) = mpsc::unbounded_channel();
        spawn_heartbeat(&door, number, &events);
        Ok(Self {
            door,
            names: workers.names().into(),
            workers,
            concurrency: settings.concurrency,
            poll: settings.poll,
            grace: settings.grace,
            until_empty: settings.until_empty,
            queue: Some(queue),
            runner,
            events,
            inbox,
            held: VecDeque::new(),
            running: JoinSet::new(),
            jobs: HashMap::new(),
            done: Done::default(),
            rate: Rate::new(),
            is_claiming: false,
            is_handing_in: false,
            may_have_more: true,
            next_look: Instant::now(),
            pause: FIRST_PAUSE,
            must_compare: false,
            is_stopping: false,
            counts: [0; 2],
        })
    }

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

    /// Claims as many jobs as there is room for, and as many as will be finished before the next claim can return.
    fn claim(&mut self) {
        let ahead = self.rate.per_window(Instant::now());
        let target = self.concurrency + ahead;
        let has = self.running.len() + self.held.len();
        // No slot stays empty; jobs are claimed in advance in large batches.
        let has_room = has < self.concurrency || has <= target / 2;
        if self.is_claiming || self.is_stopping || !self.may_have_more || !has_room {
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
    fn compare(&mut self) {
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
        let done = &self.done;
        let failed = done.failed.iter().map(|(job, _)| job);
        let known = self
            .held
            .iter()
            .chain(self.jobs.values().map(|(job, _)| job));
        let known: Vec<i64> = known
            .chain(&done.completed)
            .chain(failed)
            .map(|job| job.id)
            .collect();
        let events = self.events.clone();
        tokio::spawn(async move {
            let released = queue.release_others(runner, &known).await;
            let _ = events.send(Event::Compared(released));
        });
    }

    /// Completes everything that has finished since the last time.
    fn hand_in(&mut self) {
        if self.is_handing_in || self.done.is_empty() {
            return;
        }
        let Some(queue) = self.queue.clone() else {
            return;
        };
        self.is_handing_in = true;
        let mut left = mem::take(&mut self.done);
        self.counts[0] += left.completed.len() as u64;
        self.counts[1] += left.failed.len() as u64;
        let events = self.events.clone();
        tokio::spawn(async move {
            let error = left.hand_in(&queue).await.err();
            let _ = events.send(Event::HandedIn { left, error });
        });
    }

    fn take(&mut self, event: Event) {
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

    /// Opens another session, or gets another lease.
    fn lose(&mut self, reason: &str) {
        // Somebody is already doing it.
        if self.queue.take().is_none() {
            return;
        }
        warn!(reason, "no session with the queue");
        let (door, events) = (Arc::clone(&self.door), self.events.clone());
        let runner = *self.runner.borrow();
        tokio::spawn(async move {
            let (queue, runner) = door.open_again(runner).await;
            let _ = events.send(Event::Opened(queue, runner));
        });
    }

    async fn give_back_held(&mut self) {
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
    async fn stop(&mut self) {
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
            self.counts[0] += left.completed.len() as u64;
            self.counts[1] += left.failed.len() as u64;
            let stopped = match left.hand_in(&queue).await {
                Ok(()) => queue.stop_runner(runner).await,
                Err(error) => Err(error),
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

fn spawn_heartbeat(
    door: &Arc<Door>,
    runner: watch::Receiver<i64>,
    events: &mpsc::UnboundedSender<Event>,
) {
    let (door, events) = (Arc::clone(door), events.clone());
    tokio::spawn(async move {
        door.keep_lease(&runner).await;
        let _ = events.send(Event::LeaseEnded);
    });
}
