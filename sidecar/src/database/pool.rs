//! Sessions that are shared by whoever has a short question. What is asked here may be asked twice: the functions of lockstep
//! answer a question that they have answered already in the same way, so a session that turns out to be lost is no failure yet.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};
use tracing::debug;

use super::ask_unprepared;
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
        let answered = ask_unprepared(&session, statement, arguments).await;
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
