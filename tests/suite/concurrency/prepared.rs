//! PREPARE TRANSACTION: a prepared transaction keeps its lock on the project's row after its session is done with it, so sessions
//! that change the same project wait until it is committed or rolled back, and are right in both cases.
//!
//! Not isolation specs, because their tester cannot see a session wait for a transaction without a session.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use lockstep_tests::host::Layout;
use postgres::{Client, error::SqlState};

use crate::concurrency::{assert_in_lockstep, pid_of, settle};
use crate::database::{cluster, with_host};

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// Changes of one row with id $1, and whether the row is active before.
const CHANGES: [(&str, bool); 4] = [
    ("update integrations set active = true where id = $1", false),
    ("update integrations set active = false where id = $1", true),
    ("update integrations set project_id = 2 where id = $1", true),
    ("delete from integrations where id = $1", true),
];

/// How the prepared transaction ends.
const ENDS: [&str; 2] = ["commit prepared", "rollback prepared"];

fn lay_out(client: &mut Client, active: [bool; 2]) -> Result<()> {
    client.batch_execute(
        "delete from projects; insert into projects (id, namespace_id) values (1, 1), (2, 1)",
    )?;
    for (id, (active, kind)) in (1_i64..).zip(active.into_iter().zip(["Jira", "Redmine"])) {
        client.execute(
            "insert into integrations (id, project_id, type_new, category, active)
             values ($1, 1, 'Integrations::' || $2::text, 'issue_tracker', $3)",
            &[&id, &kind, &active],
        )?;
    }
    Ok(())
}

fn change(
    client: &mut Client,
    level: &str,
    statement: &str,
    id: i64,
) -> Result<(), postgres::Error> {
    let mut transaction = client.transaction()?;
    transaction.batch_execute(&format!("set transaction isolation level {level}; select"))?;
    transaction.execute(statement, &[&id])?;
    transaction.commit()
}

/// Returns whether the second session waited for the first. At SERIALIZABLE the prepared transaction can no longer be the one
/// that fails, so the other may fail at once.
fn prepare_against(
    database: &str,
    level: &str,
    first: (&str, bool),
    second: (&str, bool),
    end: &str,
) -> Result<bool> {
    let mut one = cluster()?.connect(database)?;
    let mut two = cluster()?.connect(database)?;
    let mut witness = cluster()?.connect(database)?;
    lay_out(&mut one, [first.1, second.1])?;
    // If this test fails, nobody ends the prepared transaction.
    two.batch_execute("set lock_timeout = '2min'")?;
    one.batch_execute(&format!("begin isolation level {level}"))?;
    one.execute(first.0, &[&1_i64])?;
    // The names of prepared transactions are shared by all databases of the cluster.
    one.batch_execute(&format!("prepare transaction '{database}'"))?;
    let pid = pid_of(&mut two)?;
    let waited = thread::scope(|scope| -> Result<bool> {
        let waiting = scope.spawn(|| change(&mut two, level, second.0, 2));
        let waited = settle(&waiting, &mut witness, pid)?;
        one.batch_execute(&format!("{end} '{database}'"))?;
        let outcome = waiting
            .join()
            .map_err(|_| anyhow!("the second session panicked"))?;
        let failure = outcome.err();
        let allowed = level != "read committed"
            && failure.as_ref().and_then(postgres::Error::code)
                == Some(&SqlState::T_R_SERIALIZATION_FAILURE);
        ensure!(
            failure.is_none() || allowed,
            "the second session failed: {failure:?}"
        );
        let may_fail_at_once = level == "serializable" && failure.is_some();
        ensure!(
            waited || may_fail_at_once,
            "the second session did not wait"
        );
        Ok(waited)
    })?;
    assert_in_lockstep(&mut witness)?;
    Ok(waited)
}

fn all_pairs(level: &str, database: &str) -> Result<()> {
    with_host(database, Layout::Narrow)?.batch_execute("select lockstep.attach()")?;
    let mut waited = 0;
    for first in CHANGES {
        for second in CHANGES {
            for end in ENDS {
                let has_waited = prepare_against(database, level, first, second, end)
                    .with_context(|| format!("{level}: {:?}, {:?}, {end}", first.0, second.0))?;
                waited += usize::from(has_waited);
            }
        }
    }
    ensure!(waited > 0, "nobody waited for a prepared transaction");
    Ok(())
}

#[test]
fn prepared_transactions_are_waited_for_at_read_committed() -> Result<()> {
    all_pairs(LEVELS[0], "prepared_read_committed")
}

#[test]
fn prepared_transactions_are_waited_for_at_repeatable_read() -> Result<()> {
    all_pairs(LEVELS[1], "prepared_repeatable_read")
}

#[test]
fn prepared_transactions_are_waited_for_at_serializable() -> Result<()> {
    all_pairs(LEVELS[2], "prepared_serializable")
}
