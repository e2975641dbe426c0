//! Queries on a session.

use std::time::{Duration, Instant};

use deadpool_postgres::ClientWrapper;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSqlOwned, ToSql, Type};
use tokio_postgres::{Client, Row, ToStatement};

use tracing::{Instrument, Span, debug_span};

use super::argument::Arguments;
use crate::error::Error;
use crate::http::{Counter, Timing, count, time};

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
    statement: &'static str,
    arguments: Arguments<'_>,
    patience: Duration,
) -> Result<Vec<Row>, Error> {
    let asking = unprepared(client, statement, arguments);
    let answered = timed(statement, patience, asking).await;
    answered.inspect_err(failed)
}

async fn unprepared(
    client: &Client,
    statement: &'static str,
    arguments: Arguments<'_>,
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let arguments: Vec<_> = arguments.iter().map(|it| (it.value(), it.kind())).collect();
    client.query_typed(statement, &arguments).await
}

/// A statement is prepared when a session first uses it. One that has become invalid, because the extension was upgraded or there
/// is a pooler after all, is discarded.
pub(super) async fn ask_prepared(
    session: &ClientWrapper,
    statement: &'static str,
    arguments: Arguments<'_>,
    patience: Duration,
) -> Result<Vec<Row>, Error> {
    let types: Vec<Type> = arguments.iter().map(|it| it.kind()).collect();
    let values: Vec<&(dyn ToSql + Sync)> = arguments.iter().map(|it| it.value()).collect();
    let asking = async {
        let prepared = session.prepare_typed_cached(statement, &types).await?;
        session.query(&prepared, &values).await
    };
    let asking = async {
        match asking.await {
            Err(error) if error.code().is_some_and(|code| UNFIT.contains(code)) => {
                session.statement_cache.remove(statement, &types);
                Box::pin(unprepared(session, statement, arguments)).await
            }
            answered => answered,
        }
    };
    let answered = timed(statement, patience, asking).await;
    answered.inspect_err(failed)
}

/// Another result type, no such statement, or one of that name already: nothing was executed.
const UNFIT: [SqlState; 3] = [
    SqlState::FEATURE_NOT_SUPPORTED,
    SqlState::INVALID_SQL_STATEMENT_NAME,
    SqlState::DUPLICATE_PSTATEMENT,
];

/// The first value, for functions that return one.
pub(super) fn value<T: FromSqlOwned>(rows: &[Row]) -> Result<T, Error> {
    let row = rows.first().ok_or(Error::Silent)?;
    Ok(row.try_get(0)?)
}

/// Waits for an answer, and notes how long the function that is called took.
async fn timed(
    statement: &'static str,
    patience: Duration,
    asking: impl Future<Output = Result<Vec<Row>, tokio_postgres::Error>>,
) -> Result<Vec<Row>, Error> {
    let begun = Instant::now();
    let function = function_of(statement);
    let asking = timeout(patience, asking).instrument(span_of(statement));
    let answered = asking.await;
    time(Timing::DATABASE_CALL, function, begun.elapsed());
    Ok(answered.map_err(|_| Error::Silent)??)
}

/// A call that fails before it is asked, for want of a session, is one as well.
pub(super) fn failed(error: &Error) {
    let reason = match error {
        Error::Connect { .. } => "unreachable",
        Error::Busy | Error::Pool(_) => "busy",
        Error::Silent => "silent",
        error if error.is_lost_session() => "lost",
        _ => "error",
    };
    count(Counter::DATABASE_FAILURES, reason);
}

/// A call that is answered too late: what it asks for has to be asked for again, one by one.
pub(super) fn given_up(function: &'static str, after: Duration) {
    time(Timing::DATABASE_CALL, function, after);
    count(Counter::DATABASE_FAILURES, "given_up");
}

fn span_of(statement: &'static str) -> Span {
    debug_span!("database", function = function_of(statement))
}

/// The function of ours that a statement calls.
fn function_of(statement: &'static str) -> &'static str {
    let called = statement.split_once("lockstep").and_then(|(_, rest)| {
        let (_, rest) = rest.split_once('.')?;
        let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        rest.get(..end?)
    });
    called.unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::function_of;

    #[test]
    fn calls_are_told_apart_by_their_function() {
        for (statement, function) in [
            ("select lockstep.status_report($1)", "status_report"),
            (
                "select a, b\n  from lockstep.claim_jobs($1, $2)",
                "claim_jobs",
            ),
            ("select lockstep_api.slack_bot($1)", "slack_bot"),
            ("select pg_catalog.pg_is_in_recovery()", "other"),
            ("lockstep.", "other"),
            ("", "other"),
        ] {
            assert_eq!(function_of(statement), function, "{statement}");
        }
    }
}
