//! Backfills: their effect on rows, however they are run. The job itself counts each row, so a skipped or repeated row is
//! visible.

mod call;
mod control;
mod crash;
mod failure;
mod hold;
mod hostile;
mod key;
mod launcher;
mod left;
mod lost;
mod preview;
mod refusal;
mod rights;
mod server_log;
mod wait;
mod worker;

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database;
use crate::service_account::{INSERT, WRONG, catalog, number};
use crate::surface::refusal::refused;

/// Small sub-batches with pauses, so that there is time to control the run.
pub(crate) const SLOW: &str =
    r#"{"sub_batch_size": 10, "target_ms": 0, "pause_ms": 5, "range_size": 300}"#;

/// A table of that many rows, and the job `count`, which adds one to each row.
pub(crate) fn counted(name: &str, rows: i64) -> Result<Client> {
    let mut client = database::empty(name)?;
    lay_out(&mut client, rows)?;
    Ok(client)
}

pub(crate) fn lay_out(client: &mut Client, rows: i64) -> Result<()> {
    client.batch_execute(&format!(
        "create extension lockstep;
         create table counted (id bigint primary key, n integer not null default 0);
         insert into counted select id from generate_series(1, {rows}) id;
         analyze counted;
         select lockstep.register_backfill_job('count', 'counted', 'update counted set n = n + 1 where {{range}}')"
    ))?;
    Ok(())
}

/// How many rows were processed how often.
pub(crate) fn times(client: &mut Client, table: &str) -> Result<BTreeMap<i32, i64>> {
    let rows = client.query(&format!("select n, count(*) from {table} group by n"), &[])?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

pub(crate) fn start(client: &mut Client, job: &str, workers: i32, settings: &str) -> Result<i64> {
    let query = "select lockstep.start_backfill($1, workers => $2, settings => $3::text::jsonb)";
    Ok(client
        .query_one(query, &[&job, &workers, &settings])?
        .get(0))
}

/// A column of the progress view, as text.
pub(crate) fn progress(client: &mut Client, run: i64, column: &str) -> Result<String> {
    let query = format!("select {column}::text from lockstep.backfill_progress where run = $1");
    let row = client.query_one(&query, &[&run]).context(query)?;
    Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
}

/// Returns once the condition on the progress view is true.
pub(crate) fn wait_until(client: &mut Client, run: i64, condition: &str) -> Result<()> {
    let begun = Instant::now();
    while progress(client, run, &format!("coalesce({condition}, false)"))? != "true" {
        if begun.elapsed() > PATIENCE {
            let columns = "jsonb_build_array(status, scanned, pids, held_by, last_error, settings)";
            anyhow::bail!(
                "{condition} never held: {}",
                progress(client, run, columns)?
            );
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Returns once the run is finished, and checks its counts.
pub(crate) fn finish(client: &mut Client, run: i64, rows: i64) -> Result<()> {
    wait_until(client, run, "status not in ('running', 'paused')")?;
    let columns = "array[status, scanned::text, percent::text, set_aside::text]";
    let found = progress(client, run, columns)?;
    ensure!(found == format!("{{finished,{rows},100,0}}"), "{found}");
    Ok(())
}

#[test]
fn every_way_does_each_row_once() -> Result<()> {
    let mut client = counted("backfill_ways", 2_345)?;
    let batch = "select array[scanned, updated, unresolved]::text from lockstep.backfill_batch('count', 1, 9000, 100)";
    let answer: String = client.query_one(batch, &[])?.get(0);
    assert_eq!(answer, "{2345,2345,0}");
    client.batch_execute(
        r#"call lockstep.backfill('count', settings => '{"sub_batch_size": 100, "range_size": 150}')"#,
    )?;
    let run = start(&mut client, "count", 2, SLOW)?;
    finish(&mut client, run, 2_345)?;
    client.batch_execute("set default_transaction_isolation = 'serializable'")?;
    client.batch_execute("call lockstep.backfill('count')")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(4, 2_345)]));
    Ok(())
}

#[test]
fn batch_is_of_the_callers_transaction_and_keeps_to_its_ids() -> Result<()> {
    let mut client = counted("backfill_batch", 100)?;
    client.batch_execute("begin; select lockstep.backfill_batch('count', 11, 20, 3); rollback")?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(0, 100)]));
    client.batch_execute("select lockstep.backfill_batch('count', 11, 20, 3)")?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from counted where n = 1 and id between 11 and 20"
        )?,
        10
    );
    assert_eq!(number(&mut client, "select sum(n) from counted")?, 10);
    let limits = format!(
        "select scanned from lockstep.backfill_batch('count', {}, {})",
        i64::MIN,
        i64::MAX
    );
    assert_eq!(number(&mut client, &limits)?, 100);
    Ok(())
}

#[test]
fn call_commits_each_sub_batch() -> Result<()> {
    let mut client = counted("backfill_commits", 100)?;
    client.batch_execute(
        "create table seen (id bigint, transaction bigint);
         create function see() returns trigger language plpgsql as
           $$begin insert into seen values (new.id, pg_current_xact_id()::text::bigint); return null; end$$;
         create trigger see after update on counted for each row execute function see()",
    )?;
    client.batch_execute(
        r#"call lockstep.backfill('count', settings => '{"sub_batch_size": 10, "target_ms": 0}')"#,
    )?;
    let transactions =
        "select count(*) from (select from seen group by transaction having count(*) = 10) t";
    assert_eq!(number(&mut client, transactions)?, 10);
    Ok(())
}

#[test]
fn call_is_refused_where_it_could_not_commit() -> Result<()> {
    let mut client = counted("backfill_block", 10)?;
    client.batch_execute("begin")?;
    refused(
        &mut client,
        "call lockstep.backfill('count')",
        "25001",
        "cannot run inside a transaction block",
    )?;
    client.batch_execute("rollback")?;
    client.batch_execute(
        "create function inside() returns void language plpgsql as $$begin call lockstep.backfill('count'); end$$",
    )?;
    let error = client
        .batch_execute("select inside()")
        .err()
        .context("not refused")?;
    assert_eq!(error.code().map(|code| code.code()), Some("2D000"));
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.backfill_run"
        )?,
        0
    );
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(0, 10)]));
    Ok(())
}

#[test]
fn service_accounts_are_filled_and_counted_by_reason() -> Result<()> {
    let mut client = catalog("backfill_service_accounts")?;
    client.batch_execute(INSERT)?;
    client.batch_execute(
        r#"call lockstep.backfill('service_accounts', settings => '{"sub_batch_size": 2, "target_ms": 0, "range_size": 5}')"#,
    )?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    let right = "
        select count(*) from lockstep.backfill_progress p
        where (p.status, p.scanned, p.updated) = ('finished', (select count(*) from expected), (select count(account) from expected))
          and p.unresolved = (select jsonb_object_agg(e.ended, e.rows) from (
                select ended, count(*) as rows from expected where account is null group by ended) e)";
    assert_eq!(number(&mut client, right)?, 1);
    Ok(())
}

#[test]
fn cache_columns_are_repaired_null_included() -> Result<()> {
    let mut client = database::with_host(
        "backfill_cache_columns",
        lockstep_tests::host::Layout::Narrow,
    )?;
    client.batch_execute(
        "insert into projects (id, namespace_id) select id, 1 from generate_series(1, 500) id;
         insert into integrations (project_id, type_new, category, active)
           select id, case id % 2 when 0 then 'Integrations::Jira' else 'Integrations::ExternalWiki' end,
                  case id % 2 when 0 then 'issue_tracker' else 'common' end, id % 3 > 0 from projects;
         select lockstep.attach();
         update projects set has_external_wiki = case id % 4 when 0 then null when 1 then true when 2 then false
                                                 else id % 2 = 1 and id % 3 > 0 end, has_external_issue_tracker = null",
    )?;
    let right = "select count(*) from projects where has_external_wiki is not distinct from (id % 2 = 1 and id % 3 > 0)
                   and has_external_issue_tracker is not distinct from (id % 2 = 0 and id % 3 > 0)";
    assert!(number(&mut client, right)? < 500);
    client.batch_execute(
        r#"call lockstep.backfill('cache_columns', settings => '{"sub_batch_size": 30, "target_ms": 0}')"#,
    )?;
    assert_eq!(number(&mut client, right)?, 500);
    // Correct values are not written again.
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    let updated = "select updated from lockstep.backfill_progress order by run desc limit 1";
    assert_eq!(number(&mut client, updated)?, 0);
    Ok(())
}

#[test]
fn rows_of_other_sessions_meanwhile() -> Result<()> {
    let mut client = counted("backfill_meanwhile", 1_000)?;
    client.batch_execute(
        "alter table counted add account bigint;
         select lockstep.register_backfill_job('fill', 'counted', 'update counted set account = 1, n = n + 1 where account is null and {range}')",
    )?;
    let run = start(&mut client, "fill", 2, SLOW)?;
    wait_until(&mut client, run, "scanned > 100")?;
    client.batch_execute(
        "update counted set account = 2 where id > 900 and account is null;
         delete from counted where id between 801 and 900;
         insert into counted (id) values (850), (5000)",
    )?;
    wait_until(&mut client, run, "status = 'finished'")?;
    // Values that others set first are not overwritten; every other row was processed once, including those inserted into the
    // remaining part. Rows after the last key at the start do not belong to this run.
    let wrong = "select count(*) from counted
                 where case when account = 1 then n <> 1 or id = 5000 when account = 2 then n <> 0 else id <> 5000 end";
    assert_eq!(number(&mut client, wrong)?, 0);
    assert!(
        number(
            &mut client,
            "select count(*) from counted where account = 2"
        )? > 50
    );
    Ok(())
}

#[test]
fn an_empty_table_is_finished_at_once() -> Result<()> {
    let mut client = counted("backfill_empty", 0)?;
    client.batch_execute("call lockstep.backfill('count')")?;
    let run = start(&mut client, "count", 2, "{}")?;
    finish(&mut client, run, 0)
}
