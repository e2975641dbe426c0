//! An event that waits for being published, and whoever waits for the answer.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

use crate::database::Published;
use crate::spool::Entry;

/// Why the database did not publish it, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Unpublished {
    /// The database is out of reach.
    Away,
    /// It accepts others, and may accept this one later.
    Held,
    /// It will never accept this one.
    Refused,
}

pub(in super::super) type Answer = Result<Published, Unpublished>;

pub(super) struct Waiting {
    pub(super) entry: Arc<Entry>,
    /// From the spool, so nothing there has to come first.
    pub(super) is_replayed: bool,
    pub(super) answer: oneshot::Sender<Answer>,
    /// Nobody waits for it after this time.
    pub(super) until: Instant,
    pub(super) _room: OwnedSemaphorePermit,
}

/// The pending answer for a submitted event.
pub(in super::super) struct Submitted(pub(super) Option<oneshot::Receiver<Answer>>);

impl Submitted {
    pub(in super::super) async fn answer(self) -> Answer {
        match self.0 {
            Some(answered) => answered.await.unwrap_or(Err(Unpublished::Away)),
            None => Err(Unpublished::Away),
        }
    }
}

impl Waiting {
    /// Whoever waited may be gone.
    pub(super) fn end(self, answer: Answer) {
        let _ = self.answer.send(answer);
    }
}

pub(super) fn take_out(
    queue: &mut VecDeque<Waiting>,
    is_it: impl Fn(&Waiting) -> bool,
) -> Vec<Waiting> {
    let (out, rest): (Vec<Waiting>, Vec<Waiting>) = queue.drain(..).partition(is_it);
    queue.extend(rest);
    out
}
