//! Questions that are asked together: while some are being answered, those that arrive wait, and go together as the next batch. So the
//! more there are at the same time, the more of them share a statement, and none waits for a timer.
//!
//! Trouble with one is not trouble for others: if a batch fails or takes long, each of its questions is asked alone.

mod rest;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::session::given_up;
use crate::error::{Error, complain};

use rest::Rest;

/// Batches at the same time: while one is answered, the app is busy with the answers of the other.
const AT_ONCE: usize = 2;

/// Questions in one batch. What a batch has to wait for grows with it, what its questions share does not.
const MOST: usize = 32;

/// Questions that wait: two for each that is being asked. So a question waits for three batches at most, its own among them, which is
/// three times [`PATIENCE`]; and no more than these come back at once from a batch that takes long.
const MOST_WAITING: usize = 2 * AT_ONCE * MOST;

/// How long the database may take for a batch, from when it is sent: longer than any takes, and Slack's three seconds leave time to
/// ask again.
const PATIENCE: Duration = Duration::from_millis(250);

/// Questions of one kind, and how to ask them.
pub(super) trait Together: Send + Sync + 'static {
    type Question: Send + Sync + 'static;
    type Answer: Send + 'static;
    type Session: Send + 'static;

    /// The function that is called.
    const FUNCTION: &'static str;

    /// Waits for a session, or opens one.
    fn session(&self) -> impl Future<Output = Result<Self::Session, Error>> + Send;

    /// The answer to each, in their order.
    fn ask(
        &self,
        session: Self::Session,
        questions: &[Self::Question],
    ) -> impl Future<Output = Result<Vec<Self::Answer>, Error>> + Send;
}

pub(super) struct Batches<T: Together> {
    how: T,
    state: Mutex<State<T>>,
}

struct State<T: Together> {
    waiting: Vec<Waiting<T>>,
    /// How many batches are being asked, or about to be.
    turns: usize,
    rest: Rest,
}

/// Dropped without an answer, it has to be asked alone.
struct Waiting<T: Together> {
    question: T::Question,
    answer: Answer<T>,
}

type Answer<T> = oneshot::Sender<Result<<T as Together>::Answer, Error>>;

/// How an attempt has ended.
enum End<A> {
    Answered(Vec<A>),
    Failed(Error),
    /// It takes too long.
    Stalled,
    /// Nobody waits any more.
    Gone,
}

impl<T: Together> Batches<T> {
    pub(super) fn new(how: T) -> Self {
        Self {
            how,
            state: Mutex::new(State {
                waiting: Vec::new(),
                turns: 0,
                rest: Rest::default(),
            }),
        }
    }

    /// The answer, or None if the question has to be asked alone. The error is that there is no session to ask on.
    pub(super) async fn answer(
        self: &Arc<Self>,
        question: T::Question,
    ) -> Option<Result<T::Answer, Error>> {
        self.place(question)?.await.ok()
    }

    fn place(
        self: &Arc<Self>,
        question: T::Question,
    ) -> Option<oneshot::Receiver<Result<T::Answer, Error>>> {
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING || !state.rest.admits() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        state.waiting.push(Waiting { question, answer });
        if state.turns < AT_ONCE {
            state.turns += 1;
            let turn = Turn {
                batches: Arc::clone(self),
                is_over: false,
            };
            tokio::spawn(turn.run());
        }
        Some(answered)
    }

    /// Asks those that wait by now.
    async fn ask_waiting(&self) {
        // First: the wait for a session says nothing about the questions, and meanwhile more of them come together.
        let session = match self.how.session().await {
            Ok(session) => session,
            Err(error) => {
                let waiting = std::mem::take(&mut self.state().waiting);
                return self.fail(waiting.into_iter().map(|it| it.answer), &error);
            }
        };
        let (questions, mut answers): (Vec<_>, Vec<_>) = self
            .take_waiting()
            .into_iter()
            .map(|it| (it.question, it.answer))
            .unzip();
        if questions.is_empty() {
            return;
        }
        let end = match self.attempt(session, &questions, &mut answers).await {
            // For example idle since before a restart or failover.
            End::Failed(error) if error.is_lost_session() => match self.how.session().await {
                Ok(session) => self.attempt(session, &questions, &mut answers).await,
                Err(error) => End::Failed(error),
            },
            end => end,
        };
        match end {
            End::Answered(found) => {
                self.state().rest.probed(true);
                for (answer, found) in answers.into_iter().zip(found) {
                    // It may be gone.
                    let _ = answer.send(Ok(found));
                }
            }
            End::Failed(error) if error.is_outage() => self.fail(answers.into_iter(), &error),
            // Each asks alone, and meets it or not.
            End::Failed(error) => {
                self.state().rest.probed(false);
                complain!(error, questions = questions.len(), "a batch failed");
            }
            End::Stalled => self.rest(),
            End::Gone => self.state().rest.probed(false),
        }
    }

    async fn attempt(
        &self,
        session: T::Session,
        questions: &[T::Question],
        answers: &mut [Answer<T>],
    ) -> End<T::Answer> {
        let begun = Instant::now();
        tokio::select! {
            biased;
            asked = self.how.ask(session, questions) => match asked {
                Ok(found) => End::Answered(found),
                Err(error) => End::Failed(error),
            },
            // Dropped, it is cancelled.
            () = all_gone(answers) => End::Gone,
            () = sleep(PATIENCE) => {
                given_up(T::FUNCTION, begun.elapsed());
                End::Stalled
            }
        }
    }

    fn take_waiting(&self) -> Vec<Waiting<T>> {
        let mut state = self.state();
        state.waiting.retain(|it| !it.answer.is_closed());
        let number = state.waiting.len().min(MOST);
        state.waiting.drain(..number).collect()
    }

    /// Without a database each would fail in the same way, and only add to the attempts to reach it.
    fn fail(&self, answers: impl Iterator<Item = Answer<T>>, error: &Error) {
        self.state().rest.probed(false);
        for answer in answers {
            let _ = answer.send(Err(for_each(error)));
        }
    }

    /// What waits is asked alone, and so is what comes within a while.
    fn rest(&self) {
        let mut state = self.state();
        let rest = state.rest.begin();
        state.waiting.clear();
        debug!(?rest, "a batch takes too long");
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to ask.
struct Turn<T: Together> {
    batches: Arc<Batches<T>>,
    is_over: bool,
}

impl<T: Together> Turn<T> {
    async fn run(mut self) {
        while self.has_more() {
            self.batches.ask_waiting().await;
        }
    }

    /// Without anybody who waits the turn is over, before anybody else looks whether somebody asks.
    fn has_more(&mut self) -> bool {
        let mut state = self.batches.state();
        state.waiting.retain(|it| !it.answer.is_closed());
        if state.waiting.is_empty() {
            state.turns -= 1;
            // The question that was to find out may be gone.
            state.rest.probed(false);
            self.is_over = true;
        }
        !self.is_over
    }
}

impl<T: Together> Drop for Turn<T> {
    /// After a panic nobody may be left waiting for it.
    fn drop(&mut self) {
        if !self.is_over {
            let mut state = self.batches.state();
            state.turns -= 1;
            state.waiting.clear();
            state.rest.probed(false);
        }
    }
}

/// The error for one of several: the driver's own cannot be copied.
fn for_each(error: &Error) -> Error {
    match error {
        Error::Busy => Error::Busy,
        Error::Silent => Error::Silent,
        other => Error::Pool(other.to_string()),
    }
}

/// Returns once nobody waits for any of these answers.
async fn all_gone<A>(answers: &mut [oneshot::Sender<A>]) {
    for answer in answers {
        answer.closed().await;
    }
}

#[cfg(test)]
mod tests;
