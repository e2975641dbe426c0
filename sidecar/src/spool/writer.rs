//! Writes webhooks that arrive together in one commit, with one sync.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tracing::error;

use super::disk::Disk;
use super::store::{Failure, Store};
use super::turn::{Reserved, Turns};

/// In one commit.
pub(super) const MOST_AT_ONCE: usize = 64;

pub(super) struct Append {
    pub(super) turn: Reserved,
    pub(super) bytes: Vec<u8>,
    /// Whether it is on disk.
    pub(super) done: oneshot::Sender<bool>,
}

pub(super) async fn write(
    store: Arc<Store>,
    mut appends: mpsc::Receiver<Append>,
    turns: Arc<Turns>,
    disk: Arc<Disk>,
    wake: Arc<Notify>,
) {
    let mut batch = Vec::new();
    while appends.recv_many(&mut batch, MOST_AT_ONCE).await > 0 {
        let (waiting, entries): (Vec<_>, Vec<_>) = batch
            .drain(..)
            .map(|it| ((it.turn, it.done), it.bytes))
            .unzip();
        let keys: Vec<(u64, u64)> = waiting.iter().map(|(turn, _)| turn.key()).collect();
        let written = {
            let store = Arc::clone(&store);
            spawn_blocking(move || store.keep(&keys, &entries)).await
        };
        let written = written.unwrap_or_else(|error| Err(Failure(error.to_string())));
        if let Err(error) = &written {
            error!(%error, webhooks = waiting.len(), "the spool cannot be written");
        }
        disk.wrote(written.is_ok());
        // The client may be gone; the entry stays.
        for (turn, done) in waiting {
            if written.is_ok() {
                turns.insert(turn);
            }
            let _ = done.send(written.is_ok());
        }
        wake.notify_one();
    }
}
