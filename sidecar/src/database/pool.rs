//! Sessions for short queries, one at a time on each. Queries through this pool may be repeated: except for taking the state of an
//! installation, lockstep's functions return the same when they are called again. So a lost session is not yet an error.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Row;
use tracing::debug;

use super::argument::Arguments;
use super::session::{ANSWER_TIMEOUT, ask_prepared, ask_unprepared, failed};
use crate::connection::Address;
use crate::error::Error;

/// How long a query waits for a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens sessions, host by host.
struct Opener {
    address: Address,
    listening: Option<Listening>,
}

/// What each session listens to, and what to do on a notification.
struct Listening {
    channel: &'static str,
    wake: Arc<Notify>,
}

impl managed::Manager for Opener {
    type Type = ClientWrapper;
    type Error = Error;

    async fn create(&self) -> Result<ClientWrapper, Error> {
        let Some(Listening { channel, wake }) = &self.listening else {
            let (client, serving) = self.address.open(|| {}).await?;
            return Ok(ClientWrapper::new(client, serving));
        };
        let wake = Arc::clone(wake);
        let (client, serving) = self.address.open(move || wake.notify_one()).await?;
        client.batch_execute(&format!("listen {channel}")).await?;
        Ok(ClientWrapper::new(client, serving))
    }

    async fn recycle(&self, session: &mut ClientWrapper, _: &Metrics) -> RecycleResult<Error> {
        match session.is_closed() {
            true => Err(RecycleError::message("closed")),
            false => Ok(()),
        }
    }
}

#[derive(Clone)]
pub(super) struct Pool {
    sessions: managed::Pool<Opener>,
    address: Address,
    /// Whether a session prepares its statements, which saves a third of the server's work for a short query. A pooler in between
    /// would lose them.
    prepares: bool,
    /// The timeout for a response.
    patience: Duration,
    /// A session is checked before it is used. If it is lost after that, it was lost during the query.
    is_careful: bool,
}

/// A session for one query, which goes back unless it is used.
pub(super) struct Reserved(Object<Opener>);

/// A session with a query in progress. If nobody waits for the response, the session cannot be reused: it would respond once it
/// is done with this, or never.
struct Asked<'a> {
    session: Option<Object<Opener>>,
    address: &'a Address,
}

impl Asked<'_> {
    fn session(&self) -> Result<&ClientWrapper, Error> {
        self.session.as_deref().ok_or(Error::Silent)
    }

    /// The response has arrived.
    fn give_back(mut self) {
        drop(self.session.take());
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let token = session.cancel_token();
        drop(Object::take(session));
        let address = self.address.clone();
        // An abandoned query must not hold locks.
        tokio::spawn(async move {
            let _ = timeout(SESSION_TIMEOUT, address.cancel(&token)).await;
        });
    }
}

impl Pool {
    /// At most this many sessions, opened on demand.
    pub(super) fn new(address: &Address, sessions: usize) -> Result<Self, Error> {
        let opener = Opener {
            address: address.clone(),
            listening: None,
        };
        Self::of(opener, sessions)
    }

    /// One session, which listens to a channel unless a pooler is in between.
    pub(super) fn listening(
        address: &Address,
        channel: &'static str,
        wake: Arc<Notify>,
    ) -> Result<Self, Error> {
        let listening = (!address.is_pooled()).then_some(Listening { channel, wake });
        let opener = Opener {
            address: address.clone(),
            listening,
        };
        Self::of(opener, 1)
    }

    fn of(opener: Opener, sessions: usize) -> Result<Self, Error> {
        let address = opener.address.clone();
        let pool = managed::Pool::builder(opener)
            .max_size(sessions)
            .timeouts(Timeouts {
                wait: Some(SESSION_TIMEOUT),
                // Each host has its own timeout.
                create: None,
                recycle: None,
            })
            .runtime(deadpool::Runtime::Tokio1)
            .build();
        Ok(Self {
            sessions: pool.map_err(|error| Error::Pool(error.to_string()))?,
            prepares: !address.is_pooled(),
            address,
            patience: ANSWER_TIMEOUT,
            is_careful: false,
        })
    }

    /// For queries that change something: then it is known whether they may have had an effect.
    pub(super) fn careful(self) -> Self {
        Self {
            is_careful: true,
            ..self
        }
    }

    /// Closes the sessions that nobody uses.
    pub(super) fn close_idle(&self) {
        self.sessions.retain(|_, _| false);
    }

    /// How many sessions there are, and may be, and how many wait for one.
    pub(super) fn status(&self) -> deadpool::Status {
        self.sessions.status()
    }

    /// The same sessions with another timeout.
    pub(super) fn within(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Runs a query, and again if the session was at fault, for example idle since before a restart or failover. If no session is
    /// available then, the first error is returned: the query may have had an effect.
    pub(super) async fn ask(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        let lost = match self.try_ask(statement, arguments).await {
            Err(error) if error.is_lost_session() => error,
            answered => return answered,
        };
        debug!(error = %lost.report(), "asking once more");
        // Rare: otherwise every query would reserve the space for it.
        match Box::pin(self.try_ask(statement, arguments)).await {
            Err(Error::Connect { .. } | Error::Pool(_) | Error::Busy) => Err(lost),
            answered => answered,
        }
    }

    /// Runs a query that must not be repeated.
    pub(super) async fn ask_once(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.try_ask(statement, arguments).await
    }

    async fn try_ask(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        let session = self.reserve().await?;
        self.ask_reserved(session, statement, arguments).await
    }

    /// A session for one query.
    pub(super) async fn reserve(&self) -> Result<Reserved, Error> {
        let begun = Instant::now();
        let session = match self.is_careful {
            true => Box::pin(self.session_that_is_there()).await,
            false => self.session().await,
        };
        let session = session.inspect_err(|error| {
            failed(error);
            self.note(begun, Some(error));
        });
        session.map(Reserved)
    }

    fn note(&self, begun: Instant, error: Option<&Error>) {
        match error {
            // The caller that opens a session reports its own failure.
            Some(Error::Connect { .. }) => {}
            Some(error) if error.is_outage() => self.address.note(error),
            _ => self.address.answered(begun),
        }
    }

    /// Runs a query, once.
    pub(super) async fn ask_reserved(
        &self,
        Reserved(session): Reserved,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        let begun = Instant::now();
        let asked = Asked {
            session: Some(session),
            address: &self.address,
        };
        let session = asked.session()?;
        let answered = match self.prepares {
            true => ask_prepared(session, statement, arguments, self.patience).await,
            false => ask_unprepared(session, statement, arguments, self.patience).await,
        };
        self.note(begun, answered.as_ref().err());
        match &answered {
            // Also a session to a server that has become a standby: it is alive and useless. What happened to this session
            // happened to the idle ones as well.
            Err(error) if error.is_lost_session() || matches!(error, Error::Silent) => {
                self.close_idle();
            }
            _ => asked.give_back(),
        }
        answered
    }

    /// A session that has just responded. Nothing was sent on those that did not.
    async fn session_that_is_there(&self) -> Result<Object<Opener>, Error> {
        for _ in 0..2 {
            let session = match self.session().await {
                // No host has responded.
                Err(Error::Silent) => break,
                session => session?,
            };
            if answers(&session).await {
                return Ok(session);
            }
            drop(Object::take(session));
            self.close_idle();
        }
        Err(Error::Pool("no answer".to_owned()))
    }

    /// An idle session, or a new one. Unless one is idle, a separate task waits for it or opens it, because the caller may time out
    /// first: then the next caller gets it.
    async fn session(&self) -> Result<Object<Opener>, Error> {
        let opened = match self.sessions.status().available > 0 {
            true => self.sessions.get().await,
            false => {
                let sessions = self.sessions.clone();
                let opening = tokio::spawn(async move { sessions.get().await });
                opening.await.map_err(|_| Error::Silent)?
            }
        };
        opened.map_err(|error| match error {
            PoolError::Backend(error) => error,
            PoolError::Timeout(TimeoutType::Wait) => Error::Busy,
            other => Error::Pool(other.to_string()),
        })
    }
}

async fn answers(session: &ClientWrapper) -> bool {
    let asking = session.simple_query("");
    matches!(timeout(SESSION_TIMEOUT, asking).await, Ok(Ok(_)))
}
