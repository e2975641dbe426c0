//! The queues: shared ones, and those of places that had to wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;

use super::parts::Parts;
use super::patience::{NO_LONGER, Patience};
use super::waiting::{Unpublished, Waiting, take_out};
use crate::database::{Published, SlackDatabase};
use crate::error::{Error, complain};
use crate::spool::Spool;

/// In one transaction.
const MOST: usize = 64;

/// How long events that were set aside wait for someone's transaction, and with what comes before and after.
const ASIDE_PATIENCE: Duration = Duration::from_millis(2_000);
const ATTEMPT: Duration = Duration::from_millis(2_200);

/// How many of those set aside wait in the database at the same time.
const MOST_ASIDE: usize = 4;

/// How long a place is handled separately after it had to wait.
const ASIDE: Duration = Duration::from_secs(5);

pub(in super::super) const PAUSE: Duration = Duration::from_millis(200);

/// The places that had to wait.
pub(super) struct Aside {
    places: Mutex<HashMap<u64, Arc<Queue>>>,
    /// Of the shared queues.
    patience: Patience,
    turns: Arc<Semaphore>,
    database: SlackDatabase,
    tasks: TaskTracker,
    spool: Option<Arc<Spool>>,
}

pub(super) struct Queue {
    database: SlackDatabase,
    spool: Option<Arc<Spool>>,
    waiting: Mutex<VecDeque<Waiting>>,
    /// Whoever has it publishes.
    turn: Arc<Semaphore>,
    /// A graceful stop waits for accepted events.
    tasks: TaskTracker,
    pub(super) kind: Kind,
    turns: Arc<Semaphore>,
}

pub(super) enum Kind {
    /// Of many places; those that have to wait go to queues of their own.
    Shared(Arc<Aside>),
    /// Of one place, which is handled separately until then.
    Place(Mutex<Instant>),
}

impl Aside {
    pub(super) fn new(
        database: SlackDatabase,
        tasks: TaskTracker,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        Self {
            places: Mutex::default(),
            patience: Patience::new(),
            turns: Arc::new(Semaphore::new(MOST_ASIDE)),
            database,
            tasks,
            spool,
        }
    }

    pub(super) fn places(&self) -> MutexGuard<'_, HashMap<u64, Arc<Queue>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of a place that is handled separately.
    pub(super) fn queue_of(
        places: &mut HashMap<u64, Arc<Queue>>,
        place: u64,
    ) -> Option<Arc<Queue>> {
        let queue = places.get(&place)?;
        match queue.is_separate() {
            true => Some(Arc::clone(queue)),
            false => {
                places.remove(&place);
                None
            }
        }
    }

    /// Sets the place of an event aside, with its later events, wherever they are: their order stays.
    pub(super) fn set_aside(
        self: &Arc<Self>,
        first: Waiting,
        batch: &mut VecDeque<Waiting>,
        shared: &Queue,
    ) {
        let place = first.entry.place;
        let is_its = |it: &Waiting| it.entry.place == place;
        let mut places = self.places();
        places.retain(|_, queue| queue.is_separate());
        let mut events = vec![first];
        events.extend(take_out(batch, is_its));
        events.extend(take_out(&mut shared.waiting(), is_its));
        let queue = places.entry(place).or_insert_with(|| {
            let kind = Kind::Place(Mutex::new(Instant::now()));
            Arc::new(Queue::new(self, kind, Arc::clone(&self.turns)))
        });
        queue.stay_separate();
        queue.push(events);
    }
}

impl Queue {
    pub(super) fn new(of: &Aside, kind: Kind, turns: Arc<Semaphore>) -> Self {
        Self {
            database: of.database.clone(),
            spool: of.spool.clone(),
            waiting: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            tasks: of.tasks.clone(),
            kind,
            turns,
        }
    }

    pub(super) fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.waiting().is_empty() && self.turn.available_permits() > 0
    }

    pub(super) fn is_separate(&self) -> bool {
        match &self.kind {
            Kind::Shared(_) => false,
            Kind::Place(until) => {
                let until = *until.lock().unwrap_or_else(PoisonError::into_inner);
                until > Instant::now() || !self.is_empty()
            }
        }
    }

    /// It had to wait, and may have to again.
    fn stay_separate(&self) {
        if let Kind::Place(until) = &self.kind {
            *until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now() + ASIDE;
        }
    }

    pub(super) fn push(self: &Arc<Self>, waiting: impl IntoIterator<Item = Waiting>) {
        self.waiting().extend(waiting);
        self.begin();
    }

    /// The next events that somebody waits for.
    fn take(&self) -> Vec<Waiting> {
        let mut batch: Vec<Waiting> = {
            let mut queue = self.waiting();
            let most = queue.len().min(MOST);
            queue.drain(..most).collect()
        };
        let now = Instant::now();
        if let Some(spool) = &self.spool {
            // Whoever waits for it keeps it there as well.
            batch.retain(|it| it.is_replayed || !spool.holds(it.entry.place));
        }
        if let Kind::Shared(_) = &self.kind {
            batch.retain(|it| it.until > now);
            return batch;
        }
        // An event that might be published after nobody waits for it is not tried.
        let (tried, late): (Vec<Waiting>, Vec<Waiting>) =
            batch.into_iter().partition(|it| it.until > now + ATTEMPT);
        late.into_iter()
            .for_each(|it| it.end(Err(Unpublished::Held)));
        tried
    }

    /// Makes sure that waiting events are published. It is a separate task, because a waiting client may time out.
    fn begin(self: &Arc<Self>) {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            let queue = Arc::clone(self);
            self.tasks.spawn(async move { queue.work(turn).await });
        }
    }

    async fn work(self: Arc<Self>, turn: OwnedSemaphorePermit) {
        while !self.waiting().is_empty() {
            let batch = self.take();
            if batch.is_empty() {
                continue;
            }
            let (Ok(left) | Err(left)) = self.publish(batch).await;
            if !left.is_empty() {
                sleep(PAUSE).await;
                // They come first when it is tried again.
                let mut queue = self.waiting();
                left.into_iter().rev().for_each(|it| queue.push_front(it));
            }
        }
        drop(turn);
        // Events that arrived between the last look and the end of the turn need another turn.
        if !self.waiting().is_empty() {
            self.begin();
        }
    }

    /// What is left is to be tried again, in that order; an error if the database takes nothing now. An event that has to wait, or
    /// that the database cannot store, must not keep others out. Replayed events keep their order all the same.
    async fn publish(&self, batch: Vec<Waiting>) -> Result<Vec<Waiting>, Vec<Waiting>> {
        let mut left = Vec::new();
        let shared = match &self.kind {
            Kind::Shared(aside) => Some(&aside.patience),
            Kind::Place(_) => None,
        };
        let mut parts = Parts::new(batch, shared.map_or(ASIDE_PATIENCE, Patience::now));
        while let Some(mut part) = parts.next() {
            let begun = Instant::now();
            let error = match self.publish_together(&part, parts.patience).await {
                Ok(published) => {
                    parts.succeeded(part.len());
                    if let Some(shared) = shared {
                        shared.succeeded(begun.elapsed());
                    }
                    for (it, published) in part.into_iter().zip(published) {
                        it.end(Ok(published));
                    }
                    continue;
                }
                Err(error) => error,
            };
            if may_pass(&error) {
                let events = part.len();
                complain!(error, events, "not published yet");
                left.extend(part.into_iter().chain(parts.rest));
                return Err(left);
            }
            let has_to_wait = error.has_code(&SqlState::LOCK_NOT_AVAILABLE);
            if has_to_wait {
                if let Some(shared) = shared {
                    shared.failed(parts.patience);
                }
                parts.patience = NO_LONGER;
            }
            if part.len() > 1 {
                parts.failed(part);
                continue;
            }
            let Some(it) = part.pop() else { continue };
            parts.found();
            match &self.kind {
                Kind::Shared(aside) if has_to_wait => aside.set_aside(it, &mut parts.rest, self),
                Kind::Place(_) if has_to_wait => {
                    self.stay_separate();
                    let is_replayed = it.is_replayed;
                    left.push(it);
                    if is_replayed {
                        left.extend(take_out(&mut parts.rest, |it| it.is_replayed));
                    }
                }
                _ => {
                    complain!(error, "not published");
                    it.end(match &error {
                        error if error.is_wrong_data() => Ok(Published::Unstorable),
                        error if error.is_temporary() => Err(Unpublished::Held),
                        _ => Err(Unpublished::Refused),
                    });
                }
            }
        }
        Ok(left)
    }

    async fn publish_together(
        &self,
        part: &[Waiting],
        patience: Duration,
    ) -> Result<Vec<Published>, Error> {
        let events: Vec<&str> = part.iter().map(|it| &*it.entry.event).collect();
        let keys: Vec<&str> = part.iter().map(|it| &*it.entry.key).collect();
        let requests = part.iter().map(|it| it.entry.request.as_deref());
        let requests: Vec<Option<&str>> = requests.collect();
        // Never closed.
        let _turn = self.turns.acquire().await.ok();
        let publishing = self.database.publish(&events, &keys, &requests, patience);
        publishing.await
    }
}

pub(in super::super) fn may_pass(error: &Error) -> bool {
    error.is_lost_connection()
        || error.is_lost_session()
        || matches!(error, Error::Busy | Error::Pool(_))
}
