//! Sessions that are shared by whoever has a short question. What is asked here may be asked twice: but for the state of an
//! installation, which is taken once, the functions of lockstep answer a question that they have answered already in the same way.
//! So a session that turns out to be lost is no failure yet.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::managed::{
    self, Metrics, Object, PoolError, RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use deadpool_postgres::ClientWrapper;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tracing::debug;

use super::session::{ANSWER_TIMEOUT, Arguments, ask_unprepared, failed, noted};
use crate::connection::Address;
use crate::error::Error;

/// How long a question waits for a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

/// Opens sessions, host by host.
struct Opener {
    address: Address,
    listening: Option<Listening>,
}

/// What each session listens to, and what is to happen when it hears something.
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
    /// Whether a session keeps what is asked of it prepared, which takes a third off the server's work for a short question.
    /// A pooler in between would lose it.
    prepares: bool,
    /// How long an answer is waited for.
    patience: Duration,
    /// A session is asked whether it is there before it is asked anything else. What is lost after that was lost while it was done.
    is_careful: bool,
}

/// A session that is asked something. If the answer is not waited for, the session is of no use to others: it would answer them
/// once it is done with this, or never.
struct Asked {
    session: Option<Object<Opener>>,
    address: Address,
}

impl Asked {
    fn session(&self) -> Result<&ClientWrapper, Error> {
        self.session.as_deref().ok_or(Error::Silent)
    }

    /// The answer has come.
    fn give_back(mut self) {
        drop(self.session.take());
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let Some(session) = self.session.take() else {
            return;
        };
        let token = session.cancel_token();
        drop(Object::take(session));
        let address = self.address.clone();
        // What nobody waits for is not to hold locks.
        tokio::spawn(async move {
            let _ = timeout(SESSION_TIMEOUT, address.cancel(&token)).await;
        });
    }
}

impl Pool {
    /// At most so many sessions, opened when they are needed.
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
                // Each host has a limit of its own.
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

    /// For questions that change something: whether they have is told apart.
    pub(super) fn careful(self) -> Self {
        Self {
            is_careful: true,
            ..self
        }
    }

    /// How many sessions there are, and may be, and how many wait for one.
    pub(super) fn status(&self) -> deadpool::Status {
        self.sessions.status()
    }

    /// The same sessions, asked what takes longer.
    pub(super) fn within(&self, patience: Duration) -> Self {
        Self {
            patience,
            ..self.clone()
        }
    }

    /// Asks, and once more if it was the session that failed: one that has been idle since before a restart or a failover. If there is
    /// none then, the first error counts: what was asked may have been done.
    pub(super) async fn ask(
        &self,
        statement: &str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        let lost = match self.try_ask(statement, arguments).await {
            Err(error) if error.is_lost_session() => error,
            answered => return answered,
        };
        debug!(error = %lost.report(), "asking once more");
        match self.try_ask(statement, arguments).await {
            Err(Error::Connect { .. } | Error::Pool(_) | Error::Busy) => Err(lost),
            answered => answered,
        }
    }

    /// Asks what is not to be asked twice.
    pub(super) async fn ask_once(
        &self,
        statement: &str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.try_ask(statement, arguments).await
    }

    async fn try_ask(&self, statement: &str, arguments: Arguments<'_>) -> Result<Vec<Row>, Error> {
        let begun = Instant::now();
        let answered = self.ask_session(statement, arguments).await;
        match &answered {
            // Whoever opens a session notes by himself that he cannot.
            Err(Error::Connect { .. }) => {}
            Err(error) if error.is_outage() => self.address.note(error),
            _ => self.address.answered(begun),
        }
        answered
    }

    async fn ask_session(
        &self,
        statement: &str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        let asked = Asked {
            session: Some(
                match self.is_careful {
                    true => self.session_that_is_there().await,
                    false => self.session().await,
                }
                .inspect_err(failed)?,
            ),
            address: self.address.clone(),
        };
        let session = asked.session()?;
        let answered = match self.prepares {
            true => ask_prepared(session, statement, arguments, self.patience).await,
            false => ask_unprepared(session, statement, arguments, self.patience).await,
        };
        match &answered {
            // Also one to a server that has become a standby: it is alive, and of no use. What befell this one has befallen those
            // that are idle as well.
            Err(error) if error.is_lost_session() || matches!(error, Error::Silent) => {
                self.sessions.retain(|_, _| false);
            }
            _ => asked.give_back(),
        }
        answered
    }

    /// One that has just said that it is there. Of those that are not none was asked anything.
    async fn session_that_is_there(&self) -> Result<Object<Opener>, Error> {
        for _ in 0..2 {
            let session = match self.session().await {
                // No host has said hello.
                Err(Error::Silent) => break,
                session => session?,
            };
            if answers(&session).await {
                return Ok(session);
            }
            drop(Object::take(session));
            self.sessions.retain(|_, _| false);
        }
        Err(Error::Pool("no answer".to_owned()))
    }

    /// One that is idle, or a new one. That is opened by a task of its own, as whoever asks may give up before it is there: then the
    /// next one has it.
    async fn session(&self) -> Result<Object<Opener>, Error> {
        let opened = match self.sessions.status().available {
            0 => {
                let sessions = self.sessions.clone();
                let opening = tokio::spawn(async move { sessions.get().await });
                opening.await.map_err(|_| Error::Silent)?
            }
            _ => self.sessions.get().await,
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

/// A statement is prepared when a session is first asked it. One that has become unfit, since the extension was upgraded or since
/// there is a pooler after all, is forgotten.
async fn ask_prepared(
    session: &ClientWrapper,
    statement: &str,
    arguments: Arguments<'_>,
    patience: Duration,
) -> Result<Vec<Row>, Error> {
    let types: Vec<Type> = arguments.iter().map(|(_, kind)| kind.clone()).collect();
    let values: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|(value, _)| *value).collect();
    let asking = async {
        let prepared = session.prepare_typed_cached(statement, &types).await?;
        session.query(&prepared, &values).await
    };
    let begun = Instant::now();
    let answered = timeout(patience, asking).await;
    let answered = answered.map_err(|_| Error::Silent);
    match noted(statement, begun, answered.and_then(|it| Ok(it?))) {
        Err(error) if UNFIT.iter().any(|code| error.has_code(code)) => {
            session.statement_cache.remove(statement, &types);
            ask_unprepared(session, statement, arguments, patience).await
        }
        answered => answered,
    }
}

/// Another type of result, no such statement, and one of that name already: nothing was run.
const UNFIT: [SqlState; 3] = [
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::DUPLICATE_PSTATEMENT,
];
