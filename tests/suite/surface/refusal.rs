//! What all refusals have in common, checked for each: a standard SQLSTATE, a report in PostgreSQL's style, and an unchanged
//! database.

use anyhow::{Context, Result, bail, ensure};
use postgres::Client;
use postgres::error::DbError;

use crate::database::cluster;

/// Everything that a call of lockstep could change: its definitions and every trigger of the database.
const STATE: &str = "
select jsonb_build_object(
  'definitions', (select jsonb_agg(d order by d.id) from lockstep_internal.cache_column_definition d),
  'triggers', (select jsonb_agg(jsonb_build_array(t.tgrelid, t.tgname, t.tgenabled) order by t.oid) from pg_trigger t)
)::text";

/// Runs a statement that must fail; returns the complete error.
pub(crate) fn error_of(client: &mut Client, statement: &str) -> Result<DbError> {
    match client.batch_execute(statement) {
        Ok(()) => bail!("not refused: {statement}"),
        Err(error) => {
            let report = error.as_db_error();
            report
                .cloned()
                .with_context(|| format!("{statement}: {error}"))
        }
    }
}

/// Runs a statement that lockstep must refuse with this SQLSTATE and a message that contains these words.
pub(crate) fn refused(
    client: &mut Client,
    statement: &str,
    sqlstate: &str,
    message: &str,
) -> Result<DbError> {
    // The client may have switched to a role that may not look.
    let database: String = client.query_one("select current_database()", &[])?.get(0);
    let mut witness = cluster()?.connect(&database)?;
    let before: String = witness.query_one(STATE, &[])?.get(0);
    let error = error_of(client, statement)?;
    ensure!(
        error.code().code() == sqlstate && error.message().contains(message),
        "{statement}\nexpected {sqlstate} with \"{message}\", got {error:?}"
    );
    check_style(&error).with_context(|| format!("{statement}\n{error:?}"))?;
    let after: String = witness.query_one(STATE, &[])?.get(0);
    ensure!(
        before == after,
        "{statement}\nchanged {before}\nto      {after}"
    );
    Ok(error)
}

/// A message is not a sentence; DETAIL and HINT are, and both are present.
fn check_style(error: &DbError) -> Result<()> {
    let message = error.message();
    ensure!(
        !message.ends_with('.') && !message.contains('\n'),
        "the message is not in PostgreSQL's style"
    );
    ensure!(
        message.starts_with(|first: char| !first.is_uppercase()),
        "the message starts with a capital"
    );
    for (part, text) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        let text = text.with_context(|| format!("no {part}"))?;
        ensure!(
            text.ends_with('.') && text.starts_with(|first: char| !first.is_lowercase()),
            "the {part} is no sentence"
        );
    }
    Ok(())
}
