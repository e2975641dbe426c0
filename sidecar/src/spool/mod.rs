//! Keeps webhooks on local disk while the database does not accept them. Each is on disk ([`store`]) before it is acknowledged, until
//! the database has it. Webhooks of one place are published in the order in which they arrived ([`turn`]).

mod disk;
mod entry;
mod look;
mod options;
mod standing;
mod store;
mod turn;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::error::Error;

use disk::Disk;
pub(crate) use entry::{Entry, NotKept};
pub(crate) use look::{Found, look};
pub(crate) use options::{Settings, SpoolArguments};
pub(crate) use standing::Standing;
use store::Store;
pub(crate) use turn::Turn;
use turn::Turns;
use writer::{Append, MOST_AT_ONCE};

pub(crate) struct Spool {
    store: Arc<Store>,
    turns: Arc<Turns>,
    appends: mpsc::Sender<Append>,
    disk: Arc<Disk>,
    /// The database accepted nothing at the last try.
    is_away: AtomicBool,
    /// There is something to replay.
    wake: Arc<Notify>,
}

impl Spool {
    /// Opens the file in that directory, or creates it. Entries that were set aside wait again: the cause may be gone.
    pub(crate) fn open(settings: &Settings) -> Result<Arc<Self>, Error> {
        let store = Store::open(&settings.directory)?;
        Self::of(store, settings.bytes, &settings.directory)
    }

    fn of(store: Store, most: u64, directory: &Path) -> Result<Arc<Self>, Error> {
        let found = store.load().map_err(|error| Error::Spool {
            directory: directory.to_owned(),
            reason: error.to_string(),
        })?;
        if !found.is_empty() {
            info!(webhooks = found.len(), "the spool has webhooks to replay");
        }
        let (store, wake) = (Arc::new(store), Arc::new(Notify::new()));
        let turns = Arc::new(Turns::new(found, most));
        let disk = Arc::new(Disk::new(directory));
        let (appends, queue) = mpsc::channel(MOST_AT_ONCE);
        tokio::spawn(writer::write(
            Arc::clone(&store),
            queue,
            Arc::clone(&turns),
            Arc::clone(&disk),
            Arc::clone(&wake),
        ));
        wake.notify_one();
        Ok(Arc::new(Self {
            store,
            turns,
            appends,
            disk,
            is_away: AtomicBool::new(false),
            wake,
        }))
    }

    /// The turn of a webhook that has just arrived. While it is held, no later one of that place is replayed.
    pub(crate) fn turn(&self, place: u64) -> Turn {
        Turns::take(&self.turns, place)
    }

    /// Whether there are entries of that place, which come first.
    pub(crate) fn holds(&self, place: u64) -> bool {
        self.turns.holds(place)
    }

    /// Whether to keep a webhook here without asking the database.
    pub(crate) fn comes_first(&self, place: u64) -> bool {
        self.holds(place) || (self.is_away() && !self.standing().is_full)
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// How the database responded to the last try.
    pub(crate) fn found_away(&self, is_away: bool) {
        if self.is_away.swap(is_away, Ordering::Relaxed) != is_away {
            match is_away {
                true => {
                    warn!("the database is away: webhooks are kept in the spool");
                    self.wake.notify_one();
                }
                false => info!("the database accepts webhooks again"),
            }
        }
    }

    /// Returns when it is on disk.
    pub(crate) async fn keep(&self, turn: Turn, entry: &Entry) -> Result<(), NotKept> {
        let bytes = serde_json::to_vec(entry).map_err(|_| NotKept::Failed)?;
        let turn = self.turns.reserve(turn, bytes.len())?;
        let (done, written) = oneshot::channel();
        let append = Append { turn, bytes, done };
        let sent = self.appends.send(append).await;
        sent.map_err(|_| NotKept::Failed)?;
        match written.await {
            Ok(true) => Ok(()),
            _ => Err(NotKept::Failed),
        }
    }

    /// Returns when there is something to replay, or to find out about.
    pub(crate) async fn wait(&self) {
        while self.turns.is_empty() && !self.is_away() && !self.disk.is_failing() {
            self.wake.notified().await;
        }
    }

    /// After a write that failed, whether there is room again.
    pub(crate) async fn try_disk(&self) {
        if self.disk.is_failing() {
            let disk = Arc::clone(&self.disk);
            // Its panic is one of the trial.
            let _ = spawn_blocking(move || disk.try_again()).await;
        }
    }

    /// The oldest entries, in order for each place, without those of some places.
    pub(crate) async fn oldest(
        &self,
        most: usize,
        most_bytes: usize,
        without: &HashSet<u64>,
    ) -> Vec<(u64, Arc<Entry>)> {
        let chosen = self.turns.oldest(most, most_bytes, without);
        let numbers: Vec<(u64, u64)> = chosen;
        let read = self
            .blocking({
                let numbers = numbers.clone();
                move |store| store.read(&numbers)
            })
            .await;
        let mut entries = Vec::new();
        for (number, bytes) in read.unwrap_or_default() {
            match serde_json::from_slice(&bytes) {
                Ok(entry) => entries.push((number, Arc::new(entry))),
                Err(error) => {
                    // Nobody else writes there, so another version of this program did.
                    error!(number, %error, "a webhook in the spool cannot be read");
                    self.set_aside(number).await;
                }
            }
        }
        entries
    }

    /// The database has them.
    pub(crate) async fn remove(&self, numbers: &[u64]) {
        let keys = self.turns.keys(numbers);
        let removed = {
            let keys = keys.clone();
            self.blocking(move |store| store.remove(&keys)).await
        };
        if removed.is_some() {
            self.turns.remove(&keys);
        }
    }

    /// The database will never accept it; it is kept, and waits again after the next start.
    pub(crate) async fn set_aside(&self, number: u64) {
        let keys = self.turns.keys(&[number]);
        let moved = {
            let keys = keys.clone();
            self.blocking(move |store| store.set_aside(&keys)).await
        };
        if moved.is_some() {
            self.turns.set_aside(&keys);
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        self.turns.standing(self.is_away(), self.disk.is_failing())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<T, store::Failure> + Send + 'static,
    ) -> Option<T> {
        let store = Arc::clone(&self.store);
        let answered = spawn_blocking(move || ask(&store)).await;
        let answered = answered.unwrap_or_else(|error| Err(store::Failure(error.to_string())));
        answered
            .inspect_err(|error| error!(%error, "the spool cannot be read or written"))
            .ok()
    }
}

#[cfg(test)]
mod tests;
