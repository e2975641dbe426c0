//! Sessions that are shared by whoever has a short question. What is asked here may be asked twice: the functions of lockstep
//! answer a question that they have answered already in the same way, so a session that turns out to be lost is no failure yet.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tracing::debug;

use super::{ANSWER_TIMEOUT, ask_unprepared};
use crate::connection::Address;
use crate::error::Error;

pub(super) type Arguments<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// How long a question waits for a session.
const SESSION_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Pool {
    sessions: deadpool_postgres::Pool,
    /// What to call the server.
    server: String,
    /// Whether a session keeps what is asked of it prepared, which takes a third off the server's work for a short question.
    /// A pooler in between would lose it.
    prepares: bool,
}

impl Pool {
    /// At most so many sessions, opened when they are needed.
    pub(super) fn new(address: &Address, sessions: usize) -> Result<Self, Error> {
        let recycling_method = RecyclingMethod::Fast;
        let (config, tls) = address.parts();
        let manager = Manager::from_config(config, tls, ManagerConfig { recycling_method });
        let pool = deadpool_postgres::Pool::builder(manager)
            .max_size(sessions)
            .timeouts(Timeouts {
                wait: Some(SESSION_TIMEOUT),
                create: Some(SESSION_TIMEOUT),
                recycle: Some(SESSION_TIMEOUT),
            })
            .runtime(Runtime::Tokio1)
            .build();
        Ok(Self {
            sessions: pool.map_err(|error| Error::Pool(error.to_string()))?,
            server: address.server(),
            prepares: !address.is_pooled(),
        })
    }

    /// Asks, and once more if it was the session that failed: one that has been idle since before a restart or a failover.
    pub(super) async fn ask(
        &self,
        statement: &str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        match self.try_ask(statement, arguments).await {
            Err(error) if error.is_lost_session() => {
                debug!(error = %error.report(), "asking once more");
                self.try_ask(statement, arguments).await
            }
            answered => answered,
        }
    }

    async fn try_ask(&self, statement: &str, arguments: Arguments<'_>) -> Result<Vec<Row>, Error> {
        let session = self.sessions.get().await.map_err(|error| match error {
            PoolError::Backend(source) => Error::Connect {
                server: self.server.clone(),
                source,
            },
            other => Error::Pool(other.to_string()),
        })?;
        let answered = match self.prepares {
            true => ask_prepared(&session, statement, arguments).await,
            false => ask_unprepared(&session, statement, arguments).await,
        };
        if let Err(error) = &answered
            && error.is_lost_session()
        {
            // Also one to a server that has become a standby: it is alive, and of no use. What befell this one has befallen those
            // that are idle as well.
            drop(Object::take(session));
            self.sessions.retain(|_, _| false);
        }
        answered
    }
}

/// A statement is prepared when a session is first asked it. One that has become unfit, since the extension was upgraded or since
/// there is a pooler after all, is forgotten.
async fn ask_prepared(
    session: &Object,
    statement: &str,
    arguments: Arguments<'_>,
) -> Result<Vec<Row>, Error> {
    let types: Vec<Type> = arguments.iter().map(|(_, kind)| kind.clone()).collect();
    let values: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|(value, _)| *value).collect();
    let asking = async {
        let prepared = session.prepare_typed_cached(statement, &types).await?;
        session.query(&prepared, &values).await
    };
    let answered = timeout(ANSWER_TIMEOUT, asking)
        .await
        .map_err(|_| Error::Silent)?;
    match answered {
        Err(error) if error.code().is_some_and(|code| UNFIT.contains(code)) => {
            session.statement_cache.remove(statement, &types);
            ask_unprepared(session, statement, arguments).await
        }
        answered => Ok(answered?),
    }
}

/// Another type of result, no such statement, and one of that name already: nothing was run.
const UNFIT: [SqlState; 3] = [
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::DUPLICATE_PSTATEMENT,
];
