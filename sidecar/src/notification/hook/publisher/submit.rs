//! Takes events, each for the queue of its place.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::queue::{Aside, Kind, Queue};
use super::waiting::{Submitted, Waiting};
use crate::database::SlackDatabase;
use crate::spool::{Entry, Spool};

/// The number of concurrent transactions: while one commits, the next one writes. Each handles its own places, so that the events
/// of a place are published in order.
const TRANSACTIONS: usize = 2;

/// Waiting events are counted in pieces of this many bytes; beyond the limit the database is too slow.
const PIECE: usize = 4 << 10;
const MOST_PIECES: usize = (32 << 20) / PIECE;

pub(crate) struct Publisher {
    pub(super) queues: [Arc<Queue>; TRANSACTIONS],
    pub(super) aside: Arc<Aside>,
    room: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn new(
        database: SlackDatabase,
        tasks: TaskTracker,
        spool: Option<Arc<Spool>>,
    ) -> Self {
        let aside = Arc::new(Aside::new(database, tasks, spool));
        Self {
            queues: std::array::from_fn(|_| {
                let turns = Arc::new(Semaphore::new(1));
                Arc::new(Queue::new(&aside, Kind::Shared(Arc::clone(&aside)), turns))
            }),
            aside,
            room: Arc::new(Semaphore::new(MOST_PIECES)),
        }
    }

    /// Submits an event, to be published until then; it counts once, whichever webhooks send it.
    pub(in super::super) fn submit(
        &self,
        entry: Arc<Entry>,
        until: Instant,
        is_replayed: bool,
    ) -> Submitted {
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
        // Until it is in the queue, its place stays where it is.
        let mut places = self.aside.places();
        let aside = Aside::queue_of(&mut places, place);
        if let Some(queue) = aside.as_ref().or(self.queue_of(place)) {
            queue.push([waiting]);
        }
        Submitted(Some(answered))
    }

    pub(super) fn queue_of(&self, place: u64) -> Option<&Arc<Queue>> {
        self.queues.get((place % TRANSACTIONS as u64) as usize)
    }
}
