//! A session that short reads share. Each is sent while the ones before it are still being answered (pipelining), and is a transaction
//! of its own. So many reads at the same time cost few system calls and context switches, here and in the server.
//!
//! A read that is not answered soon after the one before it holds up those behind it. Then the session is given up: all of them are
//! asked again on sessions of their own, and for a while new ones are as well ([`super::pace`]).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Row;
use tracing::{Instrument, debug};

use super::argument::Arguments;
use super::pace::{Progress, REST, Rests};
use super::session::{failed, function_of, given_up, prepared, span_of};
use crate::connection::Address;
use crate::error::Error;
use crate::http::{Timing, time};

/// Reads that are under way at the same time; more are asked on other sessions, which the server answers in parallel.
const MOST: usize = 32;

/// How long a read waits for its answer, those ahead of it included: Slack's three seconds suffice for another attempt.
const LONGEST: Duration = Duration::from_secs(1);

/// How long a cancellation may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// After the application's name in `pg_stat_activity`.
const NAME: &str = "shared";

pub(super) struct Shared {
    address: Address,
    state: Mutex<State>,
    rests: Mutex<Rests>,
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
    opened: Instant,
    under_way: AtomicUsize,
    progress: Progress,
    is_given_up: AtomicBool,
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
                address: address.clone().called(NAME),
                state: Mutex::new(State::Closed),
                rests: Mutex::default(),
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
        let session = Arc::clone(&place.session);
        let begun = Instant::now();
        place.is_answered = false;
        let asking = prepared(&session.client, statement, arguments);
        let answered = tokio::select! {
            biased;
            answered = asking.instrument(span_of(statement)) => answered.map_err(Error::from),
            () = session.progress.stalled(begun) => {
                self.give_up(&session);
                given_up();
                return None;
            }
            // Those under way may still be answered in time.
            () = sleep(LONGEST) => {
                self.retire(&session);
                given_up();
                return None;
            }
        };
        place.is_answered = true;
        match answered {
            Err(_) if session.is_given_up() => {
                given_up();
                None
            }
            Err(error) if error.is_lost_session() => {
                debug!(error = %error.report(), "the shared session is lost");
                failed(&error);
                self.give_up(&session);
                None
            }
            answered => {
                let took = session.progress.answered(begun);
                time(Timing::DATABASE_CALL, function_of(statement), took);
                Some(answered.inspect_err(failed))
            }
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
                opened: Instant::now(),
                under_way: AtomicUsize::new(0),
                progress: Progress::new(),
                is_given_up: AtomicBool::new(false),
            })),
            Err(_) => State::Resting(Instant::now() + REST),
        };
    }

    /// Nothing more is asked on it, and for a while no session is shared.
    fn retire(&self, session: &Arc<Session>) {
        let mut state = self.state();
        if matches!(&*state, State::Open(open) if Arc::ptr_eq(open, session)) {
            let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
            let rest = rests.after(session.opened.elapsed());
            debug!(?rest, "the shared session is given up");
            *state = State::Resting(Instant::now() + rest);
        }
    }

    /// Ends the session for everybody who waits for it, whether or not it is still the one that is shared.
    fn give_up(&self, session: &Arc<Session>) {
        self.retire(session);
        if session.is_given_up.swap(true, Ordering::Relaxed) {
            return;
        }
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

    /// What is asked after reads that nobody waits for any more is answered after them, or never.
    async fn watch(&self, session: &Arc<Session>) {
        let begun = Instant::now();
        tokio::select! {
            answered = session.client.simple_query("") => match answered {
                Ok(_) => {
                    session.progress.answered(begun);
                }
                Err(_) => self.give_up(session),
            },
            () = session.progress.stalled(begun) => self.give_up(session),
        }
    }
}

impl Session {
    fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
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
        let (shared, session) = (Arc::clone(self.shared), Arc::clone(&self.session));
        if self.is_answered || session.is_given_up() {
            session.under_way.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // Whoever asked has gone, but the server is still at work on it.
        tokio::spawn(async move {
            shared.watch(&session).await;
            session.under_way.fetch_sub(1, Ordering::Relaxed);
        });
    }
}
