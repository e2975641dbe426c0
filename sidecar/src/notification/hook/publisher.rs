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
use crate::spool::{Entry, Spool};

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

/// How long events wait for someone's transaction while others wait behind them: longer than transactions of another process take.
const BRIEFLY: Duration = Duration::from_millis(100);

/// The same for those set aside, and with what comes before and after.
const ASIDE_PATIENCE: Duration = Duration::from_millis(2_000);
const ATTEMPT: Duration = Duration::from_millis(2_200);

pub(super) const PAUSE: Duration = Duration::from_millis(200);

/// Why the database did not publish it, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpublished {
    /// The database is out of reach.
    Away,
    /// It accepts others, and may accept this one later.
    Held,
    /// It will never accept this one.
    Refused,
}

pub(super) type Answer = Result<Published, Unpublished>;

struct Waiting {
    entry: Arc<Entry>,
    /// From the spool, so nothing there has to come first.
    is_replayed: bool,
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

/// The pending answer for a submitted event.
pub(super) struct Submitted(Option<oneshot::Receiver<Answer>>);

impl Submitted {
    pub(super) async fn answer(self) -> Answer {
        match self.0 {
            Some(answered) => answered.await.unwrap_or(Err(Unpublished::Away)),
            None => Err(Unpublished::Away),
        }
    }
}

/// The places that had to wait, and until when each is handled separately.
struct Aside {
    places: Mutex<HashMap<u64, (Arc<Queue>, Instant)>>,
    turns: Arc<Semaphore>,
    database: SlackDatabase,
    tasks: TaskTracker,
    spool: Option<Arc<Spool>>,
}

struct Queue {
    database: SlackDatabase,
    spool: Option<Arc<Spool>>,
    waiting: Mutex<VecDeque<Waiting>>,
    turn: Arc<Semaphore>,
    /// A graceful stop waits for accepted events.
    tasks: TaskTracker,
    /// Where events that have to wait go; None in a queue that is itself set aside.
    aside: Option<Arc<Aside>>,
    turns: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn new(
        database: SlackDatabase,
        tasks: TaskTracker,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        let aside = Arc::new(Aside {
            places: Mutex::default(),
            turns: Arc::new(Semaphore::new(MOST_ASIDE)),
            database,
            tasks,
            spool,
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

    /// Submits an event, to be published until then; it counts once, whichever webhooks send it.
    pub(super) fn submit(&self, entry: Arc<Entry>, until: Instant, is_replayed: bool) -> Submitted {
        let pieces = u32::try_from(entry.event.len().div_ceil(PIECE)).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(pieces.max(1));
        let Ok(room) = room else {
            return Submitted(None);
        };
        let place = entry.place;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            entry,
            is_replayed,
            answer,
            until,
            _room: room,
        };
        let aside = self.aside.queue_of(place);
        let its = self.queues.get((place % TRANSACTIONS as u64) as usize);
        if let Some(queue) = aside.as_ref().or(its) {
            queue.push([waiting]);
        }
        Submitted(Some(answered))
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
            let (queue, until) = places.entry(it.entry.place).or_insert_with(|| {
                let queue = Queue::new(self, None, Arc::clone(&self.turns));
                (Arc::new(queue), now)
            });
            *until = now + ASIDE;
            queue.push([it]);
        }
    }
}

impl Waiting {
    /// Whoever waited may be gone.
    fn end(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

impl Queue {
    fn new(of: &Aside, aside: Option<Arc<Aside>>, turns: Arc<Semaphore>) -> Self {
        Self {
            database: of.database.clone(),
            spool: of.spool.clone(),
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
        if let Some(spool) = &self.spool {
            // Whoever waits for it keeps it there as well.
            batch.retain(|it| it.is_replayed || !spool.holds(it.entry.place));
        }
        let Some(aside) = &self.aside else {
            // An event that might be published after nobody waits for it is not tried.
            let (tried, late): (Vec<Waiting>, Vec<Waiting>) =
                batch.into_iter().partition(|it| it.until > now + ATTEMPT);
            late.into_iter()
                .for_each(|it| it.end(Err(Unpublished::Held)));
            return tried;
        };
        batch.retain(|it| it.until > now);
        let (elsewhere, here): (Vec<Waiting>, Vec<Waiting>) = batch
            .into_iter()
            .partition(|it| aside.queue_of(it.entry.place).is_some());
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

    /// What is left is to be tried again, in that order; an error if the database takes nothing now.
    async fn publish(&self, batch: Vec<Waiting>) -> Result<Vec<Waiting>, Vec<Waiting>> {
        let events: Vec<&str> = batch.iter().map(|it| &*it.entry.event).collect();
        let keys: Vec<&str> = batch.iter().map(|it| &*it.entry.key).collect();
        let requests = batch.iter().map(|it| it.entry.request.as_deref());
        let requests: Vec<Option<&str>> = requests.collect();
        let published = {
            // Never closed.
            let _turn = self.turns.acquire().await.ok();
            let patience = match self.aside {
                Some(_) => BRIEFLY,
                None => ASIDE_PATIENCE,
            };
            let publishing = self.database.publish(&events, &keys, &requests, patience);
            publishing.await
        };
        let error = match published {
            Ok(published) => {
                for (it, published) in batch.into_iter().zip(published) {
                    it.end(Ok(published));
                }
                return Ok(Vec::new());
            }
            Err(error) => error,
        };
        let has_to_wait = error.has_code(&SqlState::LOCK_NOT_AVAILABLE);
        match &self.aside {
            // Of several, those have to wait that do so alone as well.
            Some(aside) if has_to_wait && batch.len() == 1 => {
                aside.set_aside(batch);
                Ok(Vec::new())
            }
            None if has_to_wait && batch.len() == 1 => Ok(batch),
            _ if may_pass(&error) => {
                complain!(error, events = batch.len(), "not published yet");
                Err(batch)
            }
            _ if batch.len() > 1 => self.publish_one_by_one(batch).await,
            _ => {
                complain!(error, "not published");
                let answer = match &error {
                    error if error.is_wrong_data() => Ok(Published::Unstorable),
                    error if error.is_temporary() => Err(Unpublished::Held),
                    _ => Err(Unpublished::Refused),
                };
                batch.into_iter().for_each(|it| it.end(answer.clone()));
                Ok(Vec::new())
            }
        }
    }

    /// An event that has to wait, or that the database cannot store, must not keep others out. Replayed events keep their order all
    /// the same.
    async fn publish_one_by_one(&self, batch: Vec<Waiting>) -> Result<Vec<Waiting>, Vec<Waiting>> {
        let mut left: Vec<Waiting> = Vec::new();
        let mut rest = batch.into_iter();
        while let Some(it) = rest.next() {
            match &self.aside {
                Some(aside) if aside.queue_of(it.entry.place).is_some() => {
                    aside.set_aside(vec![it]);
                }
                None if it.is_replayed && left.iter().any(|it| it.is_replayed) => left.push(it),
                _ => match Box::pin(self.publish(vec![it])).await {
                    Ok(held) => left.extend(held),
                    Err(away) => {
                        left.extend(away.into_iter().chain(rest));
                        return Err(left);
                    }
                },
            }
        }
        Ok(left)
    }
}

pub(super) fn may_pass(error: &Error) -> bool {
    error.is_lost_connection()
        || error.is_lost_session()
        || matches!(error, Error::Busy | Error::Pool(_))
}
