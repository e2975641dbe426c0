//! Sub-batches that fail: retried smaller, set aside, retried later.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::backfill::{counted, finish, progress, start, times, wait_until};
use crate::database::cluster;
use crate::service_account::number;
use crate::surface::refusal::error_of;

#[test]
fn rows_that_fail_are_set_aside_and_can_be_retried() -> Result<()> {
    let mut client = counted("backfill_set_aside", 1_000)?;
    // One row fails in the statement, at the end of its range; one only at commit, because its constraint is deferred; one is the
    // last row.
    client.batch_execute(
        "create table allowed (n integer primary key); insert into allowed select generate_series(0, 5);
         create table bad (id bigint primary key, how text);
         insert into bad values (300, 'check'), (555, 'deferred'), (1000, 'check');
         alter table counted add m integer references allowed deferrable initially deferred;
         create function spoil() returns trigger language plpgsql as $$
           begin
             if exists (select from bad where id = new.id and how = 'check') then raise check_violation using message = 'spoiled'; end if;
             if exists (select from bad where id = new.id) then new.m := 99; end if;
             return new;
           end $$;
         create trigger spoil before update on counted for each row execute function spoil()",
    )?;
    let settings = r#"{"sub_batch_size": 100, "range_size": 300, "target_ms": 0}"#;
    let run = start(&mut client, "count", 2, settings)?;
    wait_until(&mut client, run, "status = 'failed'")?;
    assert_eq!(
        times(&mut client, "counted")?,
        BTreeMap::from([(0, 3), (1, 997)])
    );
    assert_eq!(
        progress(&mut client, run, "array[scanned, updated, set_aside]")?,
        "{997,997,3}"
    );
    let aside = "select count(*) from lockstep.backfill_set_aside s join bad b on s.last_key = array[b.id::text]
                 where s.sqlstate = case b.how when 'check' then '23514' else '23503' end and s.error <> ''
                   and s.after_key = array[(b.id - 1)::text]";
    assert_eq!(number(&mut client, aside)?, 3);
    let error = error_of(
        &mut client,
        &format!("select lockstep_internal.report_backfill({run})"),
    )?;
    assert!(error.message().contains("did not finish"), "{error}");

    client.batch_execute("delete from bad where id <> 300")?;
    client.batch_execute(&format!("select lockstep.retry_backfill({run})"))?;
    wait_until(&mut client, run, "status = 'failed'")?;
    assert_eq!(
        times(&mut client, "counted")?,
        BTreeMap::from([(0, 1), (1, 999)])
    );
    client.batch_execute("delete from bad")?;
    client.batch_execute(&format!("select lockstep.retry_backfill({run})"))?;
    finish(&mut client, run, 1_000)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 1_000)]));
    Ok(())
}

#[test]
fn a_job_that_fails_everywhere_ends_soon() -> Result<()> {
    let mut client = counted("backfill_hopeless", 1_000)?;
    client.batch_execute(
        "select lockstep.register_backfill_job('hopeless', 'counted', 'update counted set n = n / 0 where {range}')",
    )?;
    let error = error_of(
        &mut client,
        r#"call lockstep.backfill('hopeless', settings => '{"max_set_aside": 5}')"#,
    )?;
    assert_eq!(error.code().code(), "55000");
    let state = "select count(*) from lockstep.backfill_progress where status = 'failed' and set_aside = 5 and last_error = 'division by zero'";
    assert_eq!(number(&mut client, state)?, 1);
    // The table is available for the next run.
    client.batch_execute("call lockstep.backfill('count')")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 1_000)]));
    Ok(())
}

#[test]
fn a_locked_row_holds_up_itself_alone() -> Result<()> {
    let name = "backfill_locked";
    let mut client = counted(name, 400)?;
    let mut holder = cluster()?.connect(name)?;
    holder.batch_execute("begin; update counted set n = n where id = 150")?;
    let settings = r#"{"sub_batch_size": 100, "range_size": 200, "target_ms": 0, "lock_timeout_ms": 20, "max_attempts": 2}"#;
    let run = start(&mut client, "count", 2, settings)?;
    wait_until(&mut client, run, "status = 'failed'")?;
    assert_eq!(
        times(&mut client, "counted")?,
        BTreeMap::from([(0, 1), (1, 399)])
    );
    let aside = "select count(*) from lockstep.backfill_set_aside where sqlstate = '55P03' and last_key = '{150}' and attempts = 2";
    assert_eq!(number(&mut client, aside)?, 1);
    holder.batch_execute("rollback")?;
    client.batch_execute(&format!("select lockstep.retry_backfill({run})"))?;
    finish(&mut client, run, 400)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 400)]));
    Ok(())
}

#[test]
fn a_sub_batch_that_takes_too_long_is_made_smaller() -> Result<()> {
    let mut client = counted("backfill_slow", 64)?;
    client.batch_execute(
        "create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(0.02); return new; end$$;
         create trigger linger before update on counted for each row execute function linger()",
    )?;
    let settings = r#"{"sub_batch_size": 64, "target_ms": 0, "statement_timeout_ms": 500}"#;
    let run = start(&mut client, "count", 1, settings)?;
    wait_until(
        &mut client,
        run,
        "last_error like '%statement timeout%' and sub_batch_size = 32",
    )?;
    client.batch_execute(&format!(
        r#"select lockstep.alter_backfill({run}, '{{"statement_timeout_ms": 0}}')"#
    ))?;
    finish(&mut client, run, 64)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 64)]));
    Ok(())
}

#[test]
fn the_size_follows_the_time_it_takes() -> Result<()> {
    let mut client = counted("backfill_adaptive", 3_000)?;
    // At 1 ms per row, a target of 50 ms means about 50 rows, approached from both sides.
    client.batch_execute(
        "create function linger() returns trigger language plpgsql as $$begin perform pg_sleep(0.001); return new; end$$;
         create trigger linger before update on counted for each row execute function linger()",
    )?;
    for first in [1, 1_000] {
        let settings = format!(r#"{{"sub_batch_size": {first}, "target_ms": 50}}"#);
        let run = start(&mut client, "count", 1, &settings)?;
        wait_until(
            &mut client,
            run,
            "sub_batch_size between 5 and 60 and scanned > 0",
        )?;
        client.batch_execute(&format!("select lockstep.cancel_backfill({run})"))?;
        wait_until(&mut client, run, "pids = '{}'")?;
    }
    Ok(())
}
