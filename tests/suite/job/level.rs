//! What is read under a lock is the current state, whatever isolation level a session uses.

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::{self, cluster};

const LEVELS: [&str; 3] = ["read committed", "repeatable read", "serializable"];

/// The result of a statement that waits for a transaction which then commits: its SQLSTATE, or no error.
fn after(
    witness: &mut Client,
    database: &str,
    level: &str,
    transaction: &str,
    statement: &str,
) -> Result<String> {
    let mut first = cluster()?.connect(database)?;
    let mut second = cluster()?.connect(database)?;
    second.batch_execute(&format!("set default_transaction_isolation = '{level}'"))?;
    let pid = pid_of(&mut second)?;
    first.batch_execute(&format!("begin; {transaction}"))?;
    let ended = std::thread::scope(|scope| -> Result<_> {
        let waiting = scope.spawn(|| second.batch_execute(statement));
        wait_until_blocked(witness, pid)?;
        first.batch_execute("commit")?;
        waiting.join().map_err(|_| anyhow!("a session panicked"))
    })?;
    let code = ended.err().and_then(|error| error.code().cloned());
    Ok(code.map_or_else(|| "00000".to_owned(), |code| code.code().to_owned()))
}

/// In the meantime a job is enqueued, a worker renamed, an incident declared, a flag set.
#[test]
fn what_has_committed_meanwhile_counts() -> Result<()> {
    let name = "job_level";
    let mut client = database::empty(name)?;
    client.batch_execute(
        "create extension lockstep_slack cascade; select * from lockstep.attach(); select * from lockstep.attach_slack();
         create function command(trigger_id text) returns jsonb language sql as
           $$ select jsonb_build_object('trigger_id', trigger_id, 'request', trigger_id, 'team_id', 'T', 'user_id', 'U', 'text', 'x') $$",
    )?;
    for (number, level) in LEVELS.into_iter().enumerate() {
        client.batch_execute(&format!(
            "select lockstep.rename_worker('Old{number}', 'New{number}', 'rename{number}'); select lockstep.set_feature('rename{number}', true)"
        ))?;
        // Enqueued while the flag was off.
        let enqueue = format!(
            "insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead)
             values ('Old{number}', '{{}}', 0, now(), 'waiting', 0, true); lock table lockstep_internal.worker_rename in access share mode"
        );
        let retire = format!("select lockstep.retire_worker('Old{number}')");
        let retired = after(&mut client, name, level, &enqueue, &retire)?;
        // Back to the initial state.
        let rename = format!("select lockstep.rename_worker('A{number}', 'B{number}', 'f')");
        let back = format!("select lockstep.rename_worker('B{number}', 'A{number}', 'f')");
        let renamed = after(&mut client, name, level, &rename, &back)?;
        let declare = format!(
            "select lockstep_api.chatops_declare_incident(command('d{number}'), 'down', 1)"
        );
        let set = format!(
            r#"select lockstep_api.chatops_set_feature(command('s{number}'), 'f', '{{"enabled": true, "is_held_by_incidents": true}}')"#
        );
        let held = after(&mut client, name, level, &declare, &set)?;
        client.batch_execute(&format!(
            "update lockstep.chatops_incident set closed_at = now(); select lockstep.set_feature('g{number}', false)"
        ))?;
        // Two sessions set one flag: the second sees what the first did, or must retry.
        let on = format!("select lockstep.set_feature('g{number}', true)");
        let percentage = format!("select lockstep.set_feature_percentage('g{number}', 10)");
        let fully_on = after(&mut client, name, level, &on, &percentage)?;
        let codes = [retired, renamed, held, fully_on];
        let [first @ .., last] = &codes;
        assert!(
            *first == ["55000", "42710", "55000"] && ["55000", "40001"].contains(&&**last),
            "{level}: {codes:?}"
        );
    }
    Ok(())
}
