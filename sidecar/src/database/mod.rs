//! The functions and views of lockstep, as this program calls them. No file outside this folder names one.

mod backfill;
mod chatops;
mod job;
mod pool;
mod slack;
mod transaction;

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Client, Row, ToStatement};

use crate::connection::Address;
use crate::error::Error;

pub(crate) use backfill::{Progress, SetAside, Status};
pub(crate) use chatops::{ChatopsDatabase, OfHost};
pub(crate) use job::{Effects, Job, Queue};
use pool::Arguments;
pub(crate) use slack::{
    Delivery, Finished, HostProperties, Install, Integration, NewEvent, Outcome, Published,
    Received, Refresh, Sealed, SlackDatabase, Standing, StoredTokens, TakenState, Tenant, Trouble,
    Updates, Which, Workspace,
};
pub(crate) use transaction::Transaction;

/// A server that takes longer for a short answer has lost us, or is of no use now.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// A session with the database.
pub(crate) struct Database {
    client: Client,
}

impl Database {
    pub(crate) async fn open(address: &Address) -> Result<Self, Error> {
        Ok(Self {
            client: address.connect().await?,
        })
    }

    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    async fn ask(
        &self,
        statement: &str,
        arguments: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        ask(&self.client, statement, arguments).await
    }
}

/// Calls what answers at once.
async fn ask<T: ?Sized + ToStatement>(
    client: &Client,
    statement: &T,
    arguments: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Row>, Error> {
    let asking = client.query(statement, arguments);
    let rows = timeout(ANSWER_TIMEOUT, asking)
        .await
        .map_err(|_| Error::Silent)??;
    Ok(rows)
}

/// The same in one round trip, and without a prepared statement, which a pooler would lose.
async fn ask_unprepared(
    client: &Client,
    statement: &str,
    arguments: Arguments<'_>,
    patience: Duration,
) -> Result<Vec<Row>, Error> {
    let asking = client.query_typed(statement, arguments);
    let rows = timeout(patience, asking)
        .await
        .map_err(|_| Error::Silent)??;
    Ok(rows)
}
