//! A run is processed by its workers or by one call, which can be resumed once nobody works on it any more.
//!
//! The tests do step by step what the procedure does, with gates between the steps: advisory locks that the test holds.

use std::collections::BTreeMap;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::backfill::{counted, finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::{self, cluster};
use crate::service_account::number;
use crate::surface::refusal::refused;

const CALL: &str = "call lockstep.backfill('count')";

/// The rest of a call after it has been opened.
const REST: &str = "loop
    commit;
    if lockstep_internal.backfill_step(run) is null then
      exit when lockstep_internal.report_backfill(run);
    end if;
  end loop;";

/// A call in its own session, made up of these statements.
fn call(statements: &str) -> String {
    format!(
        r#"do $$
declare
  run constant bigint := lockstep_internal.open_backfill('count', settings => '{{"sub_batch_size": 10, "target_ms": 0, "range_size": 20}}');
begin
  commit;
  {statements}
end $$"#
    )
}

fn gate(number: i32) -> String {
    format!("perform pg_advisory_lock({number}); perform pg_advisory_unlock({number});")
}

fn close(client: &mut Client, gate: i32) -> Result<()> {
    Ok(client.batch_execute(&format!("select pg_advisory_lock({gate})"))?)
}

fn open(client: &mut Client, gate: i32) -> Result<()> {
    Ok(client.batch_execute(&format!("select pg_advisory_unlock({gate})"))?)
}

fn join<T>(session: ScopedJoinHandle<'_, T>) -> Result<T> {
    session.join().map_err(|_| anyhow!("a session panicked"))
}

fn newest_run(client: &mut Client) -> Result<i64> {
    number(client, "select max(run) from lockstep.backfill_progress")
}

#[test]
fn a_second_call_is_refused_between_two_steps_of_the_first() -> Result<()> {
    let name = "backfill_call_twice";
    let mut client = counted(name, 100)?;
    client.batch_execute(
        "create table by (pid integer);
         create function note() returns trigger language plpgsql as
           $$begin insert into by values (pg_backend_pid()); return null; end$$;
         create trigger note after update on counted for each row execute function note();
         create table other as select id, 0 as n from counted;
         alter table other add primary key (id);
         select lockstep.register_backfill_job('other', 'other', 'update other set n = n + 1 where {range}')",
    )?;
    let mut first = cluster()?.connect(name)?;
    let pid = pid_of(&mut first)?;
    close(&mut client, 1)?;
    // A range is handed out, and a sub-batch is done.
    let steps = "perform lockstep_internal.backfill_step(run); commit; perform lockstep_internal.backfill_step(run); commit;";
    let statement = call(&format!("{steps} {} {REST}", gate(1)));
    let run = thread::scope(|scope| -> Result<i64> {
        let calling = scope.spawn(|| first.batch_execute(&statement));
        wait_until_blocked(&mut client, pid)?;
        let run = newest_run(&mut client)?;
        assert_eq!(
            progress(&mut client, run, "array[scanned::text, pids::text]")?,
            format!("{{10,\"{{{pid}}}\"}}")
        );
        for statement in [
            CALL.to_owned(),
            format!("select lockstep_internal.backfill_step({run})"),
            format!("call lockstep_internal.wait_for_backfill({run}, 1)"),
        ] {
            let error = refused(&mut client, &statement, "55006", "already")?;
            assert!(error.message().contains(&run.to_string()), "{error}");
        }
        // Workers find the run taken, and end. Those of a run that is started later have finished by then.
        client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
        let other = start(&mut client, "other", 1, "{}")?;
        finish(&mut client, other, 100)?;
        assert_eq!(progress(&mut client, run, "scanned")?, "10");
        open(&mut client, 1)?;
        join(calling)??;
        Ok(run)
    })?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    let others = format!("select count(*) from by where pid <> {pid}");
    assert_eq!(number(&mut client, &others)?, 0);
    // The session has left the run, although it is still connected.
    client.batch_execute(CALL)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(2, 100)]));
    Ok(())
}

#[test]
fn a_call_that_ended_in_whatever_way_is_gone_on_with() -> Result<()> {
    let name = "backfill_call_ended";
    let mut client = counted(name, 100)?;
    let steps = "perform lockstep_internal.backfill_step(run); commit; perform lockstep_internal.backfill_step(run);";
    let mut sessions = Vec::new();
    for (statement, sqlstate) in [
        (call(&format!("{steps} commit; perform 1 / 0;")), "22012"),
        // An uncommitted step does not count; only the end of the call is missing.
        (call(&format!("{steps} rollback; perform 1 / 0;")), "22012"),
        // It ends without having read the outcome of the run.
        (call(&format!("{steps} commit;")), ""),
        (
            "select lockstep_internal.open_backfill('count')".to_owned(),
            "",
        ),
        (
            call(&format!(
                "{steps} commit; perform pg_terminate_backend(pg_backend_pid());"
            )),
            "57P01",
        ),
    ] {
        let mut session = cluster()?.connect(name)?;
        let outcome = session.batch_execute(&statement);
        let code = match &outcome {
            Ok(()) => "",
            // The server's last message may be lost with the connection that it ends.
            Err(error) if error.is_closed() => "57P01",
            Err(error) => error.code().map_or("", |code| code.code()),
        };
        assert_eq!(code, sqlstate, "{outcome:?}");
        wait_until(&mut client, 1, "held_by like 'no worker%'")?;
        // The session is still connected, unless it was terminated.
        sessions.push(session);
    }
    client.batch_execute(CALL)?;
    finish(&mut client, 1, 100)?;
    assert_eq!(newest_run(&mut client)?, 1);
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

#[test]
fn a_call_is_refused_while_any_worker_is_left() -> Result<()> {
    let mut client = counted("backfill_call_workers", 100)?;
    // Each does a sub-batch and waits.
    let settings =
        r#"{"sub_batch_size": 10, "target_ms": 0, "range_size": 20, "pause_ms": 3600000}"#;
    let run = start(&mut client, "count", 2, settings)?;
    wait_until(&mut client, run, "cardinality(pids) = 2 and scanned = 20")?;
    client.batch_execute(&format!(
        "select lockstep.alter_backfill({run}, workers => 1)"
    ))?;
    for slot in [1, 2] {
        refused(&mut client, CALL, "55006", "already")?;
        client.batch_execute(&format!(
            "select pg_terminate_backend(pid) from pg_locks
              where locktype = 'advisory' and objsubid = 19522 and objid = {slot}
                and database = (select oid from pg_database where datname = current_database())"
        ))?;
        wait_until(
            &mut client,
            run,
            &format!("cardinality(pids) = {}", 2 - slot),
        )?;
    }
    client.batch_execute(r#"call lockstep.backfill('count', settings => '{"pause_ms": 0}')"#)?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

#[test]
fn a_call_whose_run_is_paused_and_resumed_goes_on() -> Result<()> {
    let name = "backfill_call_resumed";
    let mut client = counted(name, 100)?;
    let mut session = cluster()?.connect(name)?;
    let pid = pid_of(&mut session)?;
    let statement = call(&format!(
        "{} if lockstep_internal.backfill_step(run) is not null then raise 'not paused'; end if;
         commit; {} {REST}",
        gate(1),
        gate(2)
    ));
    // The gates are held by two sessions, so that it is clear who blocks whom.
    let mut second = cluster()?.connect(name)?;
    close(&mut client, 1)?;
    close(&mut second, 2)?;
    let run = thread::scope(|scope| -> Result<i64> {
        let calling = scope.spawn(|| session.batch_execute(&statement));
        wait_until_blocked(&mut client, pid)?;
        let run = newest_run(&mut client)?;
        client.batch_execute(&format!("select lockstep.pause_backfill({run})"))?;
        open(&mut client, 1)?;
        let blocked_by_second = format!(
            "select count(*) where pg_blocking_pids({pid}) = array[{}]",
            pid_of(&mut second)?
        );
        while number(&mut client, &blocked_by_second)? == 0 {
            assert!(!calling.is_finished(), "{:?}", join(calling));
        }
        // The call has seen the pause, and has not left yet.
        client.batch_execute(&format!("select lockstep.resume_backfill({run})"))?;
        open(&mut second, 2)?;
        join(calling)??;
        Ok(run)
    })?;
    finish(&mut client, run, 100)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 100)]));
    Ok(())
}

#[test]
fn a_call_of_two_runs_leaves_each_at_its_end() -> Result<()> {
    let name = "backfill_call_both";
    let mut client = database::empty(name)?;
    lay_out(&mut client, 10)?;
    let mut session = cluster()?.connect(name)?;
    let pid = pid_of(&mut session)?;
    close(&mut client, 1)?;
    let statement = format!("do $$begin {CALL}; {} {CALL}; end$$", gate(1));
    thread::scope(|scope| -> Result<()> {
        let calling = scope.spawn(|| session.batch_execute(&statement));
        wait_until_blocked(&mut client, pid)?;
        assert_eq!(
            progress(&mut client, 1, "array[status, pids::text]")?,
            r#"{finished,"{}"}"#
        );
        client.batch_execute(CALL)?;
        open(&mut client, 1)?;
        join(calling)?.map_err(Into::into)
    })?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(3, 10)]));
    Ok(())
}
