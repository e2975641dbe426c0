//! Queries on a session.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, ToStatement};

use crate::error::Error;

pub(super) type Arguments<'a> = &'a [(&'a (dyn ToSql + Sync), Type)];

/// A server that takes longer for a short response has lost us, or is of no use now.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Runs a query with an immediate response.
pub(super) async fn ask<T: ?Sized + ToStatement>(
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

/// The same in one round trip and without a prepared statement, which a pooler would lose.
pub(super) async fn ask_unprepared(
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
