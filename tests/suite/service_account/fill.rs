//! Filling existing rows: what is written and what is not, with concurrent writers of the same rows.

use std::thread;
use std::time::Duration;

use anyhow::{Result, anyhow};
use postgres::Client;

use crate::database::cluster;
use crate::service_account::{INSERT, WRONG, catalog, number};

fn text(client: &mut Client, query: &str) -> Result<String> {
    Ok(client
        .query_one(query, &[])?
        .get::<_, Option<String>>(0)
        .unwrap_or_default())
}

#[test]
fn writes_the_account_and_nothing_else() -> Result<()> {
    let mut client = catalog("service_account_untouched")?;
    client.batch_execute(INSERT)?;
    // Rows that cannot be resolved, and those that have an account, are not rewritten.
    client.batch_execute(
        "update duo_workflows_workflows set service_account_id = 9 where id in (3, 8)",
    )?;
    let untouched = "
        select string_agg(w.ctid || ' ' || w.xmin || ' ' || to_jsonb(w), ' ' order by id) from duo_workflows_workflows w
        where id in (3, 8) or id in (select id from expected where account is null)";
    let others = "select string_agg((to_jsonb(w) - 'service_account_id')::text, ' ' order by id) from duo_workflows_workflows w";
    let before = (text(&mut client, untouched)?, text(&mut client, others)?);
    for _ in 0..2 {
        client.batch_execute("select lockstep.fill_service_accounts(1, 99)")?;
        assert_eq!(
            (text(&mut client, untouched)?, text(&mut client, others)?),
            before
        );
    }
    client.batch_execute("update expected set account = 9 where id in (3, 8)")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}

#[test]
fn ranges() -> Result<()> {
    let mut client = catalog("service_account_ranges")?;
    client.batch_execute(INSERT)?;
    let scanned = |client: &mut Client, range: &str| {
        number(
            client,
            &format!("select scanned from lockstep.fill_service_accounts({range})"),
        )
    };
    assert_eq!(scanned(&mut client, "17, 9000000000000000000")?, 0);
    assert_eq!(scanned(&mut client, "3, 5")?, 3);
    assert_eq!(
        scanned(&mut client, "3, 5")?,
        0,
        "both ends belong to the range"
    );
    assert_eq!(
        number(
            &mut client,
            "select count(service_account_id) from duo_workflows_workflows"
        )?,
        3
    );
    assert_eq!(
        scanned(&mut client, "-9223372036854775808, 9223372036854775807")?,
        13
    );
    assert_eq!(number(&mut client, WRONG)?, 0);
    // More rows than are processed at a time.
    client.batch_execute(
        "insert into duo_workflows_workflows (id, user_id, project_id, workflow_definition)
           select n, 1, 1 + n % 3, case n % 4 when 0 then 'unknown' else 'software_development' end from generate_series(1001, 13000) n",
    )?;
    let row = client.query_one(
        "select scanned, updated, no_item from lockstep.fill_service_accounts(1001, 13000)",
        &[],
    )?;
    assert_eq!(
        (
            row.get::<_, i64>(0),
            row.get::<_, i64>(1),
            row.get::<_, i64>(2)
        ),
        (12_000, 9_000, 3_000)
    );
    let wrong = "select count(*) from duo_workflows_workflows where id > 1000
                 and service_account_id is distinct from case when id % 4 = 0 then null when id % 3 = 2 then 8 else 7 end";
    assert_eq!(number(&mut client, wrong)?, 0);
    Ok(())
}

/// Fills in a thread while `client` has the rows locked, then commits in `client`; returns what was filled.
fn fill_meanwhile(
    client: &mut Client,
    database: &str,
    level: &str,
) -> Result<Result<(i64, i64), String>> {
    let mut other = cluster()?.connect(database)?;
    other.batch_execute(&format!("set default_transaction_isolation = '{level}'"))?;
    let filling = thread::spawn(move || {
        let row = other.query_one(
            "select scanned, updated from lockstep.fill_service_accounts(1, 99)",
            &[],
        );
        row.map(|row| (row.get(0), row.get(1))).map_err(|error| {
            error
                .code()
                .map(|code| code.code().to_owned())
                .unwrap_or_default()
        })
    });
    let waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    let mut witness = cluster()?.connect(database)?;
    while number(&mut witness, waiting)? == 0 && !filling.is_finished() {
        thread::sleep(Duration::from_millis(10));
    }
    client.batch_execute("commit")?;
    filling
        .join()
        .map_err(|_| anyhow!("the filling session failed"))
}

#[test]
fn concurrent_writer_sets_it_first() -> Result<()> {
    let name = "service_account_first";
    let mut client = catalog(name)?;
    client.batch_execute(INSERT)?;
    client.batch_execute(
        "begin; update duo_workflows_workflows set service_account_id = 9 where id in (1, 4)",
    )?;
    let filled = fill_meanwhile(&mut client, name, "read committed")?;
    assert_eq!(filled, Ok((16, 6)));
    client.batch_execute("update expected set account = 9 where id in (1, 4)")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}

/// The row is resolved again in its current state, even if only its status changed.
#[test]
fn concurrent_writer_changes_the_row() -> Result<()> {
    let name = "service_account_changed";
    let mut client = catalog(name)?;
    client.batch_execute(INSERT)?;
    client.batch_execute(
        "begin;
         update duo_workflows_workflows set status = 1 where id = 1;
         update duo_workflows_workflows set project_id = 3, namespace_id = null where id = 3;
         update duo_workflows_workflows set workflow_definition = 'unknown' where id = 10;
         delete from duo_workflows_workflows where id = 5",
    )?;
    let filled = fill_meanwhile(&mut client, name, "read committed")?;
    assert_eq!(filled, Ok((16, 6)));
    client.batch_execute(
        "update expected set account = 8 where id = 3; update expected set account = null where id = 10; delete from expected where id = 5",
    )?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}

#[test]
fn concurrent_writer_under_repeatable_read() -> Result<()> {
    let name = "service_account_repeatable";
    let mut client = catalog(name)?;
    client.batch_execute(INSERT)?;
    client.batch_execute(
        "begin; update duo_workflows_workflows set service_account_id = 9 where id = 1",
    )?;
    let filled = fill_meanwhile(&mut client, name, "repeatable read")?;
    assert_eq!(filled, Err("40001".to_owned()));
    assert_eq!(
        number(
            &mut client,
            "select count(service_account_id) from duo_workflows_workflows"
        )?,
        1
    );
    Ok(())
}

/// Two sessions that fill the same rows: each row is written once.
#[test]
fn two_fill_the_same_range() -> Result<()> {
    let name = "service_account_two";
    let mut client = catalog(name)?;
    client.batch_execute(INSERT)?;
    client.batch_execute("begin")?;
    let first = number(
        &mut client,
        "select updated from lockstep.fill_service_accounts(1, 99)",
    )?;
    let filled = fill_meanwhile(&mut client, name, "read committed")?;
    assert_eq!((first, filled), (8, Ok((16, 0))));
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}

/// The application's index is on the group alone: a group with many items is read once, not once per item, however many other groups
/// there are.
#[test]
fn consumers_of_a_large_group_are_read_once() -> Result<()> {
    let mut client = catalog("service_account_large_group")?;
    client.batch_execute(
        "insert into namespaces (id, name, path, type, traversal_ids, organization_id)
           select n, n, n, 'Group', array[n], 1 from generate_series(101, 140) n;
         insert into ai_catalog_items (id, organization_id) select n, 1 from generate_series(101, 140) n;
         insert into ai_catalog_item_versions (id, organization_id, ai_catalog_item_id) select n, 1, n from generate_series(101, 140) n;
         insert into ai_catalog_item_consumers (id, ai_catalog_item_id, group_id, service_account_id)
           select n, 101 + n % 40, 1, 7 from generate_series(1001, 1200) n union all
           select n, n, n, 8 from generate_series(101, 140) n;
         insert into duo_workflows_workflows (id, user_id, ai_catalog_item_version_id, namespace_id)
           select n, 1, n, n from generate_series(101, 140) n union all
           select 100 + n, 1, n, 1 from generate_series(101, 140) n;
         analyze",
    )?;
    client.batch_execute("begin; select lockstep.fill_service_accounts(1, 999)")?;
    let filled = "select sum(service_account_id)::bigint from duo_workflows_workflows";
    assert_eq!(number(&mut client, filled)?, 40 * 7 + 40 * 8);
    let read = "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'ai_catalog_item_consumers'";
    let read = number(&mut client, read)?;
    assert!(read < 1_000, "{read} rows");
    Ok(())
}
