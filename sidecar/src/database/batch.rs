//! Questions that are asked together: while some are being answered, those that arrive wait, and go together as the next batch. So the
//! more there are at the same time, the more of them share a statement, and none waits for a timer.
//!
//! Trouble with one is not trouble for others: if a batch fails or takes long, each of its questions is asked alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::session::given_up;
use crate::error::Error;

/// Batches at the same time: while one is answered, the app is busy with the answers of the other.
const AT_ONCE: usize = 2;

/// Questions in one batch. What a batch has to wait for grows with it, what its questions share does not.
const MOST: usize = 32;

/// How long a batch may take: longer than any does, and Slack's three seconds leave time to ask again.
const PATIENCE: Duration = Duration::from_millis(250);

/// For this long after a batch that took longer, each question is asked alone.
const REST: Duration = Duration::from_secs(1);

/// The same if that happens again and again: each time, those that wait lose [`PATIENCE`].
const LONGEST_REST: Duration = Duration::from_secs(60);

/// Questions of one kind.
pub(super) struct Batches<Q, A>(Mutex<State<Q, A>>);

struct State<Q, A> {
    waiting: Vec<Waiting<Q, A>>,
    /// Whoever asks a batch holds it as well.
    turn: Arc<()>,
    rest: Rest,
}

/// Whoever has asked is told that it has to be asked alone by dropping it.
struct Waiting<Q, A> {
    question: Q,
    answer: oneshot::Sender<A>,
}

struct Rest {
    until: Option<Instant>,
    /// How long the next one is.
    next: Duration,
}

/// The right to ask, and what to ask.
type Turn<Q, A> = (Arc<()>, Vec<Waiting<Q, A>>);

impl<Q, A> Default for Batches<Q, A> {
    fn default() -> Self {
        Self(Mutex::new(State {
            waiting: Vec::new(),
            turn: Arc::new(()),
            rest: Rest {
                until: None,
                next: REST,
            },
        }))
    }
}

impl<Q: Send + 'static, A: Send + 'static> Batches<Q, A> {
    /// The answer, or None if the question has to be asked alone. `ask` answers each of several, in their order.
    pub(super) async fn answer<F>(
        self: &Arc<Self>,
        question: Q,
        ask: impl Fn(Vec<Q>) -> F + Send + 'static,
    ) -> Option<A>
    where
        F: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let answered = self.place(question, ask)?;
        let answer = answered.await.ok();
        if answer.is_none() {
            given_up();
        }
        answer
    }

    fn place<F>(
        self: &Arc<Self>,
        question: Q,
        ask: impl Fn(Vec<Q>) -> F + Send + 'static,
    ) -> Option<oneshot::Receiver<A>>
    where
        F: Future<Output = Result<Vec<A>, Error>> + Send + 'static,
    {
        let mut state = self.state();
        if state.rest.until.is_some_and(|until| Instant::now() < until) {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push(Waiting { question, answer });
        // One is the state's own.
        if Arc::strong_count(&state.turn) <= AT_ONCE {
            let turn = Arc::clone(&state.turn);
            tokio::spawn(Arc::clone(self).run(turn, ask));
        }
        Some(answered)
    }

    async fn run<F>(self: Arc<Self>, turn: Arc<()>, ask: impl Fn(Vec<Q>) -> F)
    where
        F: Future<Output = Result<Vec<A>, Error>>,
    {
        let mut turn = turn;
        while let Some((mine, batch)) = self.next(turn) {
            turn = mine;
            let (questions, mut answers): (Vec<Q>, Vec<oneshot::Sender<A>>) =
                batch.into_iter().map(|it| (it.question, it.answer)).unzip();
            let asked = tokio::select! {
                biased;
                asked = ask(questions) => asked,
                // Dropped, it is cancelled.
                () = all_gone(&mut answers) => continue,
                () = sleep(PATIENCE) => {
                    self.rest();
                    continue;
                }
            };
            // Each asks alone after an error, and meets it or not.
            for (answer, found) in answers.into_iter().zip(asked.into_iter().flatten()) {
                // It may be gone.
                let _ = answer.send(found);
            }
        }
    }

    /// The next batch; without one the turn is over.
    fn next(&self, turn: Arc<()>) -> Option<Turn<Q, A>> {
        let mut state = self.state();
        state.waiting.retain(|it| !it.answer.is_closed());
        if state.waiting.is_empty() {
            // Before anybody else looks whether somebody asks.
            drop(turn);
            return None;
        }
        let number = state.waiting.len().min(MOST);
        Some((turn, state.waiting.drain(..number).collect()))
    }

    /// What waits is asked alone, and so is what comes within a while.
    fn rest(&self) {
        let mut state = self.state();
        let rest = state.rest.begin();
        state.waiting.clear();
        debug!(?rest, "a batch takes too long");
    }
}

impl<Q, A> Batches<Q, A> {
    fn state(&self) -> MutexGuard<'_, State<Q, A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rest {
    /// Twice as long as the last one, unless all was well for a while since. Two batches at the same time have one.
    fn begin(&mut self) -> Duration {
        let since = self.until.map(|until| until.elapsed());
        if since.is_none_or(|since| since > LONGEST_REST) {
            self.next = REST;
        }
        let rest = self.next;
        let now = Instant::now();
        if self.until.is_none_or(|until| until <= now) {
            self.until = Some(now + rest);
            self.next = (2 * rest).min(LONGEST_REST);
        }
        rest
    }
}

/// Returns once nobody waits for any of these answers.
async fn all_gone<A>(answers: &mut [oneshot::Sender<A>]) {
    for answer in answers {
        answer.closed().await;
    }
}

#[cfg(test)]
#[path = "batch/tests.rs"]
mod tests;
