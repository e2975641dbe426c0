//! Events that come at the same time are published in one transaction: a commit takes as long for fifty as for one. Whoever comes
//! first publishes at once, with what has gathered meanwhile.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::database::{Published, SlackDatabase};

/// In one transaction.
const MOST: usize = 64;

/// Transactions at the same time: while one commits, the next one writes. Each has places of its own, so that what happens in one place is
/// published in the order in which it came.
const TRANSACTIONS: usize = 2;

/// Beyond these the database is too slow, and GitLab may ask again.
const MOST_WAITING: usize = 5_000;

/// None if the database did not do it.
type Answer = Option<Published>;

struct Waiting {
    event: String,
    key: String,
    answer: oneshot::Sender<Answer>,
}

pub(crate) struct Publisher([Arc<Queue>; TRANSACTIONS]);

struct Queue {
    database: SlackDatabase,
    waiting: Mutex<VecDeque<Waiting>>,
    turn: Arc<Semaphore>,
    /// A graceful stop waits for what has been taken.
    tasks: TaskTracker,
}

impl Publisher {
    pub(crate) fn new(database: SlackDatabase, tasks: TaskTracker) -> Self {
        Self(std::array::from_fn(|_| {
            Arc::new(Queue {
                database: database.clone(),
                waiting: Mutex::default(),
                turn: Arc::new(Semaphore::new(1)),
                tasks: tasks.clone(),
            })
        }))
    }

    /// Publishes an event of a place, which counts once for each key.
    pub(crate) async fn publish(&self, place: u64, event: String, key: String) -> Answer {
        let queue = self.0.get((place % TRANSACTIONS as u64) as usize)?;
        let (answer, answered) = oneshot::channel();
        if !queue.push(Waiting { event, key, answer }) {
            return None;
        }
        queue.begin();
        answered.await.unwrap_or_default()
    }
}

impl Queue {
    fn push(&self, waiting: Waiting) -> bool {
        let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = queue.len() < MOST_WAITING;
        if has_room {
            queue.push_back(waiting);
        }
        has_room
    }

    fn take(&self) -> Vec<Waiting> {
        let mut queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let most = queue.len().min(MOST);
        queue.drain(..most).collect()
    }

    /// Sees to it that somebody publishes what waits. It is a task of its own, since whoever waits for an answer may give up.
    fn begin(self: &Arc<Self>) {
        if let Ok(turn) = Arc::clone(&self.turn).try_acquire_owned() {
            let queue = Arc::clone(self);
            self.tasks.spawn(async move { queue.work(turn).await });
        }
    }

    async fn work(self: Arc<Self>, turn: OwnedSemaphorePermit) {
        loop {
            let batch = self.take();
            if batch.is_empty() {
                break;
            }
            self.publish(batch).await;
        }
        drop(turn);
        // What came between the last look and the end of the turn has found no turn of its own.
        let queue = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if !queue.is_empty() {
            drop(queue);
            self.begin();
        }
    }

    async fn publish(&self, batch: Vec<Waiting>) {
        let events: Vec<&str> = batch.iter().map(|it| it.event.as_str()).collect();
        let keys: Vec<&str> = batch.iter().map(|it| it.key.as_str()).collect();
        match self.database.publish(&events, &keys).await {
            Ok(published) => {
                for (it, published) in batch.into_iter().zip(published) {
                    let _ = it.answer.send(Some(published));
                }
            }
            // One that the database cannot take is not to keep the others out.
            Err(error) if batch.len() > 1 && !error.is_lost_connection() => {
                for it in batch {
                    Box::pin(self.publish(vec![it])).await;
                }
            }
            Err(error) => {
                warn!(error = %error.report(), events = batch.len(), "not published");
            }
        }
    }
}
