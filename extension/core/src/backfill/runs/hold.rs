//! Reasons to wait for other users of the server.

use super::run::Run;
use crate::error::{Error, Result};
use lockstep_server::{OwnStatement, Rights, Statement, View, as_role, attempt, connected, datum};
use pgrx::pg_sys::{self, Oid};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

/// Why a run waits: a word for monitoring, and a text for people, with its numbers and names.
pub(crate) struct Hold {
    pub(super) cause: &'static str,
    pub(super) text: String,
}

/// Sessions waited for the rows of the last sub-batch.
pub(super) fn waiters() -> Hold {
    Hold {
        cause: "waiters",
        text: "another session waited for its rows".to_owned(),
    }
}

/// Each worker checks at most this often: a check takes half a millisecond, as long as some sub-batches.
const INTERVAL: Duration = Duration::from_millis(250);

struct Statements {
    vacuum: OwnStatement,
    replication: OwnStatement,
    archiving: OwnStatement,
}

thread_local! {
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
    // Never dropped: when the process ends, the memory of its plans may already be gone.
    static STATEMENTS: ManuallyDrop<Statements> = ManuallyDrop::new(Statements {
        vacuum: OwnStatement::new(
            "select 'a vacuum of the table runs'
               from pg_stat_progress_vacuum v
              where v.datname = current_database()
                and (v.relid = $1 or v.relid in (select p.relid from pg_partition_tree($1) p))
              limit 1",
            &[pg_sys::OIDOID],
        ),
        replication: OwnStatement::new(
            "select 'standby ' || coalesce(nullif(s.application_name, ''), s.pid::text) || ' is '
                      || pg_size_pretty(s.behind) || ' behind'
               from (select r.application_name, r.pid,
                            pg_wal_lsn_diff(pg_current_wal_insert_lsn(), coalesce(r.replay_lsn, r.sent_lsn))::bigint
                       from pg_stat_replication r where r.state in ('streaming', 'catchup')) s (application_name, pid, behind)
              where s.behind > $1
              order by s.behind desc limit 1",
            &[pg_sys::INT8OID],
        ),
        archiving: OwnStatement::new(
            "select a.waiting || ' WAL files wait to be archived'
               from (select count(*) from pg_ls_archive_statusdir() f where f.name like '%.ready') a (waiting)
              where current_setting('archive_mode') <> 'off' and a.waiting > $1",
            &[pg_sys::INT8OID],
        ),
    });
}

/// What currently holds a run on a table, if anything; `is_held` says whether it was held just before.
pub(super) fn reason(run: &Run, is_held: bool) -> Result<Option<Hold>> {
    let settings = &run.settings;
    let is_early = ASKED
        .get()
        .is_some_and(|asked: Instant| asked.elapsed() < INTERVAL);
    if is_early && !is_held {
        return Ok(None);
    }
    ASKED.set(Some(Instant::now()));
    let mut found = None;
    STATEMENTS.with(|statements| {
        if settings.hold_for_vacuum {
            let table = datum(Oid::from(run.table));
            statements
                .vacuum
                .rows(&[table], |row| found = hold("vacuum", row.get(1)))?;
        }
        let lag = settings.hold_at_replication_lag;
        if found.is_none() && lag > 0 {
            statements
                .replication
                .rows(&[datum(lag)], |row| found = hold("replication", row.get(1)))?;
        }
        let files = i64::from(settings.hold_at_wal_files);
        if found.is_none() && files > 0 {
            // Only superusers and roles that were granted it may read that directory; without the right this signal is not
            // available.
            found = attempt(AssertUnwindSafe(|| {
                let mut found = None;
                let asked = statements
                    .archiving
                    .rows(&[datum(files)], |row| found = hold("archiving", row.get(1)));
                asked.map(|()| found)
            }))
            .unwrap_or(Ok(None))?;
        }
        Ok::<(), Error>(())
    })?;
    let function = settings.hold_function.as_deref();
    Ok(found.or_else(|| hold("hold_function", ask(run.role, function?))))
}

fn hold(cause: &'static str, text: Option<String>) -> Option<Hold> {
    text.map(|text| Hold { cause, text })
}

/// Calls the DBA's function as the owner of the table, whoever resumed the run. A failure is a reason to hold.
fn ask(role: Oid, function: &str) -> Option<String> {
    let query = Statement::new(&format!("select {function}()"), &[]);
    let answer = attempt(AssertUnwindSafe(|| {
        let mut answer = None;
        let ask = || connected(|| query.rows(View::Own, &[], |row| answer = row.get::<String>(1)));
        as_role(&Rights::of(role, function), ask);
        answer
    }));
    answer.unwrap_or_else(|failure| Some(format!("{function}() failed: {}", failure.message)))
}
