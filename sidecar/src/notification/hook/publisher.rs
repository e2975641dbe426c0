//! Events that arrive at the same time are published in one transaction: a commit takes as long for fifty as for one. The first
//! one is published at once, together with what has accumulated. Events that would wait for someone's open transaction are set
//! aside, each place separately, so that no other event waits with them; what the database cannot accept now is retried while
//! GitLab waits.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, sleep};
use tokio_postgres::error::SqlState;
use tokio_util::task::TaskTracker;

use crate::database::{Published, SlackDatabase};
use crate::error::{Error, complain};

use super::key::Identity;

/// In one transaction.
const MOST: usize = 64;

/// The number of concurrent transactions: while one commits, the next one writes. Each handles its own places, so that the events
/// of a place are published in order.
const TRANSACTIONS: usize = 2;

/// How many of those set aside wait in the database at the same time.
const MOST_ASIDE: usize = 4;

/// How long a place that had to wait is handled separately.
const ASIDE: Duration = Duration::from_secs(10);

/// Waiting events are counted in pieces of this many bytes; beyond the limit the database is too slow.
const PIECE: usize = 4 << 10;
const MOST_PIECES: usize = (32 << 20) / PIECE;

/// The database's lock timeout.
const ATTEMPT: Duration = Duration::from_millis(2_200);

const PAUSE: Duration = Duration::from_millis(200);

/// None if the database did not publish it, as far as is known.
type Answer = Option<Published>;

struct Waiting {
    place: u64,
    event: String,
    identity: Identity,
    answer: oneshot::Sender<Answer>,
    /// Nobody waits for it after this time.
    until: Instant,
    _room: OwnedSemaphorePermit,
}

pub(crate) struct Publisher {
    queues: [Arc<Queue>; TRANSACTIONS],
    aside: Arc<Aside>,
    room: Arc<Semaphore>,
}

/// The places that had to wait, and until when each is handled separately.
struct Aside {
    places: Mutex<HashMap<u64, (Arc<Queue>, Instant)>>,
    turns: Arc<Semaphore>,
    database: SlackDatabase,
    tasks: TaskTracker,
}

struct Queue {
    database: SlackDatabase,
    waiting: Mutex<VecDeque<Waiting>>,
    turn: Arc<Semaphore>,
    /// A graceful stop waits for accepted events.
    tasks: TaskTracker,
    /// Where events that have to wait go; None in a queue that is itself set aside.
    aside: Option<Arc<Aside>>,
    turns: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn new(database: SlackDatabase, tasks: TaskTracker) -> Self {
        let aside = Arc::new(Aside {
            places: Mutex::default(),
            turns: Arc::new(Semaphore::new(MOST_ASIDE)),
            database,
            tasks,
        });
        Self {
            queues: std::array::from_fn(|_| {
                let turns = Arc::new(Semaphore::new(1));
                Arc::new(Queue::new(&aside, Some(Arc::clone(&aside)), turns))
            }),
            aside,
            room: Arc::new(Semaphore::new(MOST_PIECES)),
        }
    }

    /// Publishes an event of a place within that time; it counts once per identity.
    pub(crate) async fn publish(
        &self,
        place: u64,
        event: String,
        identity: Identity,
        patience: Duration,
    ) -> Answer {
        let pieces = u32::try_from(event.len().div_ceil(PIECE)).ok()?;
        let room = Arc::clone(&self.room).try_acquire_many_owned(pieces.max(1));
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            place,
            event,
            identity,
            answer,
            until: Instant::now() + patience,
            _room: room.ok()?,
        };
        let queue = self.queues.get((place % TRANSACTIONS as u64) as usize)?;
        let aside = self.aside.queue_of(place);
        aside.as_ref().unwrap_or(queue).push([waiting]);
        answered.await.unwrap_or_default()
    }
}

impl Aside {
    fn places(&self) -> MutexGuard<'_, HashMap<u64, (Arc<Queue>, Instant)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue of a place that is handled separately.
    fn queue_of(&self, place: u64) -> Option<Arc<Queue>> {
        let mut places = self.places();
        let (queue, until) = places.get(&place)?;
        match *until > Instant::now() || !queue.is_empty() {
            true => Some(Arc::clone(queue)),
            false => {
                places.remove(&place);
                None
            }
        }
    }

    fn set_aside(self: &Arc<Self>, batch: Vec<Waiting>) {
        let now = Instant::now();
        let mut places = self.places();
        places.retain(|_, (queue, until)| *until > now || !queue.is_empty());
        for it in batch {
            let (queue, until) = places.entry(it.place).or_insert_with(|| {
                let queue = Queue::new(self, None, Arc::clone(&self.turns));
                (Arc::new(queue), now)
            });
            *until = now + ASIDE;
            queue.push([it]);
        }
    }
}

impl Queue {
    fn new(of: &Aside, aside: Option<Arc<Aside>>, turns: Arc<Semaphore>) -> Self {
        Self {
            database: of.database.clone(),
            waiting: Mutex::default(),
            turn: Arc::new(Semaphore::new(1)),
            tasks: of.tasks.clone(),
            aside,
            turns,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.waiting().is_empty() && self.turn.available_permits() > 0
    }

    fn push(self: &Arc<Self>, waiting: impl IntoIterator<Item = Waiting>) {
        self.waiting().extend(waiting);
        self.begin();
    }

    /// The next events that somebody waits for; events of separate places go to their queues.
    fn take(&self) -> Vec<Waiting> {
        let mut batch: Vec<Waiting> = {
            let mut queue = self.waiting();
            let most = queue.len().min(MOST);
            queue.drain(..most).collect()
        };
        let now = Instant::now();
        let Some(aside) = &self.aside else {
            // An event that might be published after nobody waits for it is not tried.
            batch.retain(|it| it.until > now + ATTEMPT);
            return batch;
        };
        batch.retain(|it| it.until > now);
        let (elsewhere, here): (Vec<Waiting>, Vec<Waiting>) = batch
            .into_iter()
            .partition(|it| aside.queue_of(it.place).is_some());
        if !elsewhere.is_empty() {
            aside.set_aside(elsewhere);
        }
        here
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
            if !batch.is_empty() {
                self.publish(batch).await;
            }
        }
        drop(turn);
        // Events that arrived between the last look and the end of the turn need another turn.
        if !self.waiting().is_empty() {
            self.begin();
        }
    }

    async fn publish(&self, batch: Vec<Waiting>) {
        let events: Vec<&str> = batch.iter().map(|it| it.event.as_str()).collect();
        let keys: Vec<&str> = batch.iter().map(|it| &*it.identity.key).collect();
        let requests = batch.iter().map(|it| it.identity.request.as_deref());
        let requests: Vec<Option<&str>> = requests.collect();
        let published = {
            // Never closed.
            let _turn = self.turns.acquire().await.ok();
            self.database.publish(&events, &keys, &requests).await
        };
        let error = match published {
            Ok(published) => {
                for (it, published) in batch.into_iter().zip(published) {
                    let _ = it.answer.send(Some(published));
                }
                return;
            }
            Err(error) => error,
        };
        match &self.aside {
            Some(aside) if error.has_code(&SqlState::LOCK_NOT_AVAILABLE) => aside.set_aside(batch),
            _ if error.has_code(&SqlState::LOCK_NOT_AVAILABLE) && batch.len() == 1 => {
                self.put_back(batch, PAUSE).await;
            }
            _ if may_pass(&error) => {
                complain!(error, events = batch.len(), "not published yet");
                self.put_back(batch, PAUSE).await;
            }
            // An event that has to wait, or that the database cannot store, must not keep others out.
            _ if batch.len() > 1 => {
                for it in batch {
                    Box::pin(self.publish(vec![it])).await;
                }
            }
            _ => {
                complain!(error, "not published");
                let answer = error.is_wrong_data().then_some(Published::Unstorable);
                for it in batch {
                    let _ = it.answer.send(answer.clone());
                }
            }
        }
    }

    /// They come first in the next try.
    async fn put_back(&self, batch: Vec<Waiting>, pause: Duration) {
        sleep(pause).await;
        let mut queue = self.waiting();
        batch.into_iter().rev().for_each(|it| queue.push_front(it));
    }
}

fn may_pass(error: &Error) -> bool {
    error.is_lost_connection()
        || error.is_lost_session()
        || matches!(error, Error::Busy | Error::Pool(_))
}
