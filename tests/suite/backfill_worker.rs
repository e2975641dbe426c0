//! Background workers that cannot be started.

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::Client;

use crate::backfill::{finish, lay_out, progress, start, times, wait_until};
use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::surface_refusal::error_of;

/// Slow enough to stay, and quick to notice what is done to the run.
const STAYING: &str = r#"{"sub_batch_size": 1, "target_ms": 0, "pause_ms": 100}"#;

/// All workers are started, or none; what needs none goes on.
#[test]
fn a_server_without_a_free_place_refuses_workers() -> Result<()> {
    // One is for one run, and one is PostgreSQL's own, for logical replication.
    let cluster = Cluster::start("no_worker", &[("max_worker_processes", "2")])?;
    let mut client = cluster.create_database("no_worker")?;
    lay_out(&mut client, 300)?;
    client.batch_execute(
        "create table other (id bigint primary key, n integer not null default 0);
         insert into other select id from generate_series(1, 300) id;
         select lockstep.register_backfill_job('other', 'other', 'update other set n = n + 1 where {range}')",
    )?;
    let first = start(&mut client, "count", 1, STAYING)?;
    let check = |client: &mut Client, statement: &str| -> Result<()> {
        let error = error_of(client, statement)?;
        ensure!(
            error.code().code() == "53400" && error.message().starts_with("only 0 of 1 "),
            "{error:?}"
        );
        ensure!(
            error
                .hint()
                .unwrap_or_default()
                .contains("max_worker_processes"),
            "{error:?}"
        );
        Ok(())
    };
    check(&mut client, "select lockstep.start_backfill('other')")?;
    let runs = "select count(*) from lockstep.backfill_run";
    assert_eq!(number(&mut client, runs)?, 1);
    // The table is free.
    client.batch_execute("call lockstep.backfill('other')")?;
    assert_eq!(times(&mut client, "other")?, BTreeMap::from([(1, 300)]));

    // A run that is paused stays so, with its place.
    wait_until(&mut client, first, "scanned > 0")?;
    client.batch_execute(&format!("select lockstep.pause_backfill({first})"))?;
    wait_until(&mut client, first, "pids = '{}'")?;
    let second = start_when_free(
        &mut client,
        "select lockstep.start_backfill('other', settings => $1::text::jsonb)",
        &[&STAYING],
    )?;
    let resume = format!("select lockstep.resume_backfill({first})");
    check(&mut client, &resume)?;
    assert_eq!(progress(&mut client, first, "status")?, "paused");
    client.batch_execute(&format!(
        r#"select lockstep.cancel_backfill({second});
           select lockstep.alter_backfill({first}, '{{"pause_ms": 0}}')"#
    ))?;
    start_when_free(&mut client, &format!("{resume}, 0::bigint as run"), &[])?;
    finish(&mut client, first, 300)?;
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 300)]));
    Ok(())
}

/// Starts workers once those that were told to end have left their places.
fn start_when_free(
    client: &mut Client,
    query: &str,
    arguments: &[&(dyn postgres::types::ToSql + Sync)],
) -> Result<i64> {
    let begun = Instant::now();
    loop {
        match client.query_one(query, arguments) {
            Ok(row) => return Ok(row.get(row.len() - 1)),
            Err(error) => ensure!(
                begun.elapsed() < PATIENCE
                    && error.code().is_some_and(|code| code.code() == "53400"),
                "{error:?}"
            ),
        }
        sleep(Duration::from_millis(20));
    }
}
