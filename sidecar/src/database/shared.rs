//! A session that short reads share. Each is sent while the ones before it are still being answered (pipelining), and is a transaction
//! of its own. So many reads at the same time cost few system calls and context switches, here and in the server.
//!
//! A read that is not answered soon holds up those behind it. Then the session is given up: all of them are asked again on sessions of
//! their own, and for a moment new ones are as well.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};
use tokio_postgres::Row;
use tracing::debug;

use super::argument::Arguments;
use super::session::{ask_prepared, failed};
use crate::connection::Address;
use crate::error::Error;

/// Reads that are under way at the same time; more are asked on other sessions, which the server answers in parallel.
const MOST: usize = 32;

/// Longer than any short read, and short enough that Slack's three seconds suffice for another attempt.
const PATIENCE: Duration = Duration::from_millis(250);

/// For this long after a failure, no session is shared.
const REST: Duration = Duration::from_secs(1);

/// How long a cancellation may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Shared {
    address: Address,
    state: Mutex<State>,
}

enum State {
    Closed,
    Opening,
    Open(Arc<Session>),
    /// Until then.
    Resting(Instant),
}

struct Session {
    client: ClientWrapper,
    serving: AbortHandle,
    under_way: AtomicUsize,
}

/// A read that is under way.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    session: Arc<Session>,
    is_answered: bool,
}

impl Shared {
    /// None with a pooler in between, where no session is ours.
    pub(super) fn new(address: &Address) -> Option<Arc<Self>> {
        (!address.is_pooled()).then(|| {
            Arc::new(Self {
                address: address.clone(),
                state: Mutex::new(State::Closed),
            })
        })
    }

    /// None if it has to be asked on another session: none is open, too many reads are under way, or there was no answer.
    pub(super) async fn read(
        self: &Arc<Self>,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Option<Result<Vec<Row>, Error>> {
        let mut place = self.place()?;
        place.is_answered = false;
        let client = &place.session.client;
        let answered = ask_prepared(client, statement, arguments, PATIENCE).await;
        place.is_answered = true;
        match answered {
            Err(error) if error.is_lost_session() || matches!(error, Error::Silent) => {
                debug!(error = %error.report(), "the shared session is given up");
                self.give_up(&place.session);
                None
            }
            answered => Some(answered.inspect_err(failed)),
        }
    }

    /// The session that is open, and whether a read is under way.
    pub(super) fn open(&self) -> Option<bool> {
        match &*self.state() {
            State::Open(session) => Some(session.under_way.load(Ordering::Relaxed) > 0),
            _ => None,
        }
    }

    /// The next read opens another one.
    pub(super) fn close(&self) {
        let mut state = self.state();
        if matches!(*state, State::Open(_)) {
            *state = State::Closed;
        }
    }

    fn place(self: &Arc<Self>) -> Option<Place<'_>> {
        let mut state = self.state();
        match &*state {
            State::Open(session) if session.client.is_closed() => {}
            State::Open(session) => {
                let place = Place::take(self, Arc::clone(session));
                return (place.session.under_way.load(Ordering::Relaxed) <= MOST).then_some(place);
            }
            State::Opening => return None,
            State::Resting(until) if Instant::now() < *until => return None,
            State::Closed | State::Resting(_) => {}
        }
        *state = State::Opening;
        tokio::spawn(Arc::clone(self).start());
        None
    }

    async fn start(self: Arc<Self>) {
        let opened = self.address.open(|| {}).await;
        *self.state() = match opened {
            Ok((client, serving)) => State::Open(Arc::new(Session {
                serving: serving.abort_handle(),
                client: ClientWrapper::new(client, serving),
                under_way: AtomicUsize::new(0),
            })),
            Err(_) => State::Resting(Instant::now() + REST),
        };
    }

    /// Ends the session for everybody who waits for it.
    fn give_up(&self, session: &Arc<Session>) {
        let mut state = self.state();
        let is_it = |open: &Arc<Session>| Arc::ptr_eq(open, session);
        if !matches!(&*state, State::Open(open) if is_it(open)) {
            return;
        }
        *state = State::Resting(Instant::now() + REST);
        drop(state);
        let token = session.client.cancel_token();
        session.serving.abort();
        let address = self.address.clone();
        // A query that nobody waits for must not hold locks.
        tokio::spawn(async move {
            let _ = timeout(CANCEL_TIMEOUT, address.cancel(&token)).await;
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Place<'a> {
    fn take(shared: &'a Arc<Shared>, session: Arc<Session>) -> Self {
        session.under_way.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            session,
            is_answered: true,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.session.under_way.fetch_sub(1, Ordering::Relaxed);
        if self.is_answered {
            return;
        }
        // Whoever asked has gone. What is asked next is answered after that, or never.
        let (shared, session) = (Arc::clone(self.shared), Arc::clone(&self.session));
        tokio::spawn(async move {
            let answered = timeout(PATIENCE, session.client.simple_query("")).await;
            if !matches!(answered, Ok(Ok(_))) {
                shared.give_up(&session);
            }
        });
    }
}
