//! Queries on a session.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tokio_postgres::types::{FromSqlOwned, ToSql};
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
    let begun = Instant::now();
    let arguments: Vec<_> = arguments.iter().map(|it| (it.value(), it.kind())).collect();
    let asking = timeout(patience, client.query_typed(statement, &arguments));
    let asking = asking.instrument(span_of(statement));
    let answered = asking.await.map_err(|_| Error::Silent);
    noted(statement, begun, answered.and_then(|it| Ok(it?)))
}

/// The first value, for functions that return one.
pub(super) fn value<T: FromSqlOwned>(rows: &[Row]) -> Result<T, Error> {
    let row = rows.first().ok_or(Error::Silent)?;
    Ok(row.try_get(0)?)
}

/// Of one call.
pub(super) fn span_of(statement: &'static str) -> Span {
    debug_span!("database", function = function_of(statement))
}

/// Notes how long the database took, by the function that is called, and whether it answered.
pub(super) fn noted<T>(
    statement: &'static str,
    begun: Instant,
    answered: Result<T, Error>,
) -> Result<T, Error> {
    time(
        Timing::DATABASE_CALL,
        function_of(statement),
        begun.elapsed(),
    );
    answered.inspect_err(failed)
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

/// The function of ours that a statement calls.
fn function_of(statement: &str) -> &str {
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
