//! Which database jobs, deliveries and tokens are of. A copy holds those of the database that it was copied from, until somebody
//! says what is to become of them: two of a kind would run and send everything twice.

use crate::error::{JobError, OrRaise, Result};
use lockstep_server::OwnStatement;
use lockstep_server::waking::{self, Work};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;
use pgrx::{PgLogLevel, PgSqlErrorCode};
use std::mem::ManuallyDrop;

struct Statements {
    is_of_another: OwnStatement,
    lock: OwnStatement,
    leave: OwnStatement,
    move_in: OwnStatement,
    in_flight: OwnStatement,
    of_value: OwnStatement,
    discard: [OwnStatement; 5],
}

thread_local! {
    // Never dropped: at the end of the process the memory that the plans live in may be gone already.
    static STATEMENTS: ManuallyDrop<Statements> = ManuallyDrop::new(Statements {
        is_of_another: OwnStatement::new(
            "select count(*) <> 1 or bool_or(h.database <> (select d.oid from pg_database d where d.datname = current_database()))
               from lockstep.home h",
            &[],
        ),
        lock: OwnStatement::new("select from lockstep.home for update", &[]),
        leave: OwnStatement::new("delete from lockstep.home", &[]),
        move_in: OwnStatement::new(
            "insert into lockstep.home (database) select d.oid from pg_database d where d.datname = current_database()",
            &[],
        ),
        in_flight: OwnStatement::new(
            "select (select count(*) from lockstep.job j where j.status <> 'dead'),
                    (select count(*) from lockstep.slack_delivery d where d.status = 'waiting'),
                    (select count(*) from lockstep.slack_installation i where i.encrypted_refresh_token is not null)",
            &[],
        ),
        of_value: OwnStatement::new(
            "select string_agg(format('%s: %s', v.what, v.rows), ', ' order by v.place)
               from (values (1, (select count(*) from lockstep.job), 'jobs'),
                            (2, (select count(*) from lockstep.slack_delivery d where d.status = 'waiting'), 'deliveries that wait'),
                            (3, (select count(*) from lockstep.slack_installation), 'installations of Slack workspaces'),
                            (4, (select count(*) from lockstep.slack_notification), 'settings of notifications'),
                            (5, (select count(*) from lockstep.feature_audit), 'recorded changes of feature flags'),
                            (6, (select count(*) from lockstep.chatops_command), 'commands of chatops'),
                            (7, (select count(*) from lockstep.backfill_job), 'backfill jobs')) v (place, rows, what)
              where v.rows > 0",
            &[],
        ),
        discard: [
            "delete from lockstep.job where status <> 'dead'",
            "delete from lockstep.job_runner",
            "delete from lockstep.slack_delivery where status = 'waiting'",
            "update lockstep.slack_channel set lease = null, leased_until = null, delivery = null, subject = null where lease is not null",
            // To refresh a token would end the one that the original has.
            "update lockstep.slack_installation
                set encrypted_refresh_token = null, encrypted_refresh_token_iv = null, lease = null, leased_until = null
              where encrypted_refresh_token is not null",
        ].map(|text| OwnStatement::new(text, &[])),
    });
}

/// Jobs, deliveries and refresh tokens.
type InFlight = [i64; 3];

/// Whether what is in flight here is that of another database, or of an earlier time of this one.
pub(crate) fn is_of_another() -> Result<bool> {
    let mut is_of_another = true;
    STATEMENTS.with(|statements| {
        statements
            .is_of_another
            .rows(&[], |row| is_of_another = row.get(1).unwrap_or(true))
    })?;
    Ok(is_of_another)
}

fn in_flight() -> Result<InFlight> {
    let mut counts = InFlight::default();
    STATEMENTS.with(|statements| {
        statements.in_flight.rows(&[], |row| {
            counts = [1, 2, 3].map(|place| row.get(place).unwrap_or_default());
        })
    })?;
    Ok(counts)
}

fn move_in() -> Result<()> {
    STATEMENTS.with(|statements| {
        statements.leave.run(&[])?;
        statements.move_in.run(&[])
    })?;
    // Whoever waits for something to do.
    waking::wake(Work::JOBS);
    waking::wake(Work::DELIVERIES);
    Ok(())
}

/// Says what is held, if anything is. A database whose template had nothing in flight becomes its own.
pub(crate) fn settle() -> Result<()> {
    if !is_of_another()? {
        return Ok(());
    }
    let [jobs, deliveries, tokens] = in_flight()?;
    if [jobs, deliveries, tokens] == InFlight::default() {
        return move_in();
    }
    say(
        "jobs and deliveries are held: this database is a copy, or was restored",
        format!(
            "Held are jobs: {jobs}, deliveries: {deliveries}, tokens to refresh: {tokens}; those that come are held as well."
        ),
        "Call lockstep.release_restored() if this database takes the place of the other one, else lockstep.discard_restored().",
    );
    Ok(())
}

/// Says what DROP EXTENSION takes along, as it cannot say so itself.
pub(crate) fn say_what_would_go() -> Result<()> {
    let mut rows = None;
    STATEMENTS.with(|statements| {
        statements
            .of_value
            .rows(&[], |row| rows = row.get::<String>(1))
    })?;
    if let Some(rows) = rows {
        say(
            "drop extension removes what lockstep has recorded in this database",
            format!("It has {rows}."),
            "To keep a record, copy it first: create table feature_audit as select * from lockstep.feature_audit.",
        );
    }
    Ok(())
}

fn say(message: &'static str, detail: String, hint: &'static str) {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
        message,
        "lockstep",
    )
    .set_detail(detail)
    .set_hint(hint)
    .report(PgLogLevel::NOTICE);
}

/// Lets what was restored go on here.
#[pg_extern(sql = r#"
create function lockstep.release_restored()
returns table (jobs bigint, deliveries bigint, tokens bigint)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.release_restored() is
  'runs the jobs, sends the deliveries and refreshes the tokens that a restored or copied database holds; returns how many. For the database that takes the place of the other one';
revoke execute on function lockstep.release_restored() from public;
"#)]
fn release_restored()
-> TableIterator<'static, (name!(jobs, i64), name!(deliveries, i64), name!(tokens, i64))> {
    let release = || -> Result<InFlight> {
        STATEMENTS.with(|statements| statements.lock.run(&[]))?;
        if !is_of_another()? {
            return Ok(InFlight::default());
        }
        let counts = in_flight()?;
        move_in()?;
        Ok(counts)
    };
    let [jobs, deliveries, tokens] = release().or_raise();
    TableIterator::once((jobs, deliveries, tokens))
}

/// Drops what was restored, so that this database begins with nothing in flight.
#[pg_extern(sql = r#"
create function lockstep.discard_restored()
returns table (jobs bigint, deliveries bigint, tokens bigint)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.discard_restored() is
  'drops the jobs, deliveries and refresh tokens that a restored or copied database holds, dead jobs excepted; returns how many. For a copy that works beside the other one';
revoke execute on function lockstep.discard_restored() from public;
"#)]
fn discard_restored()
-> TableIterator<'static, (name!(jobs, i64), name!(deliveries, i64), name!(tokens, i64))> {
    let discard = || -> Result<InFlight> {
        STATEMENTS.with(|statements| {
            statements.lock.run(&[])?;
            if !is_of_another()? {
                return Err(JobError::NotACopy.into());
            }
            let counts = in_flight()?;
            for statement in &statements.discard {
                statement.run(&[])?;
            }
            move_in()?;
            Ok(counts)
        })
    };
    let [jobs, deliveries, tokens] = discard().or_raise();
    TableIterator::once((jobs, deliveries, tokens))
}
