//! The trigger on new workflows: what it fills, what it leaves alone, and how it is installed and removed.

use std::io::Write;

use anyhow::Result;
use postgres::Client;

use crate::service_account::{INSERT, WRONG, catalog, number};

fn attached(name: &str) -> Result<Client> {
    let mut client = catalog(name)?;
    client.batch_execute("select * from lockstep.attach()")?;
    Ok(client)
}

/// The result of a call for this feature.
fn answer(client: &mut Client, call: &str) -> Result<(String, String)> {
    let query = format!("select status, detail from lockstep.{call} where feature ~ '^duo'");
    let row = client.query_one(&query, &[])?;
    Ok((row.get(0), row.get(1)))
}

fn triggers(client: &mut Client) -> Result<i64> {
    number(
        client,
        "select count(*) from pg_trigger where tgname = 'lockstep_service_account'",
    )
}

#[test]
fn account_that_is_given_stays() -> Result<()> {
    let mut client = attached("service_account_given")?;
    client.batch_execute(
        &INSERT
            .replace("goal)", "goal, service_account_id)")
            .replace("'goal ' || id", "'goal ' || id, 9"),
    )?;
    let other =
        "select count(*) from duo_workflows_workflows where service_account_id is distinct from 9";
    assert_eq!(number(&mut client, other)?, 0);
    Ok(())
}

#[test]
fn copy_and_returning() -> Result<()> {
    let mut client = attached("service_account_copy")?;
    let mut copy = client.copy_in(
        "copy duo_workflows_workflows (id, user_id, ai_catalog_item_version_id, workflow_definition, project_id, namespace_id) from stdin",
    )?;
    for id in 1..=2_000 {
        let version = ["10", "\\N", "30"][id % 3];
        writeln!(
            copy,
            "{id}\t1\t{version}\tsoftware_development\t{}\t\\N",
            1 + id % 2 * 2
        )?;
    }
    assert_eq!(copy.finish()?, 2_000);
    // Project 1 is in group 1, project 3 in group 3, and every third workflow has a version without a consumer.
    let wrong = "
        select count(*) from duo_workflows_workflows
        where service_account_id is distinct from case when id % 3 <> 2 then 7 + id % 2 end";
    assert_eq!(number(&mut client, wrong)?, 0);
    let row = client.query_one(
        "insert into duo_workflows_workflows (user_id, project_id) values (1, 3) returning service_account_id",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 8);
    Ok(())
}

/// A statement sees the state at its beginning; the next statement sees more, even in one transaction.
#[test]
fn each_statement_sees_what_was_before_it() -> Result<()> {
    for level in ["read committed", "repeatable read", "serializable"] {
        let name = format!("service_account_sees_{}", level.replace(' ', "_"));
        let mut client = attached(&name)?;
        let insert = "insert into duo_workflows_workflows (user_id, namespace_id) values (1, 5) returning service_account_id";
        let ask = |client: &mut Client| -> Result<Option<i64>> {
            Ok(client.query_one(insert, &[])?.get(0))
        };
        client.batch_execute(&format!("begin isolation level {level}"))?;
        assert_eq!(ask(&mut client)?, None);
        client.batch_execute("savepoint one; update ai_catalog_item_consumers set service_account_id = 8 where id = 13")?;
        assert_eq!(ask(&mut client)?, Some(8));
        // Nothing is inserted here, so the command counter does not advance; but the account is looked up.
        client.batch_execute(
            "insert into duo_workflows_workflows (id, user_id, namespace_id) select min(id), 1, 5 from duo_workflows_workflows on conflict do nothing;
             rollback to one",
        )?;
        assert_eq!(ask(&mut client)?, None, "{level}");
        client.batch_execute(
            "update ai_catalog_item_consumers set service_account_id = 9 where id = 13",
        )?;
        assert_eq!(ask(&mut client)?, Some(9));
        let both = "with changed as (update ai_catalog_item_consumers set service_account_id = 7 where id = 13 returning id)
                    insert into duo_workflows_workflows (user_id, namespace_id) select 1, 5 from changed returning service_account_id";
        assert_eq!(
            client.query_one(both, &[])?.get::<_, Option<i64>>(0),
            Some(9)
        );
        assert_eq!(ask(&mut client)?, Some(7));
        client.batch_execute("prepare transaction 'sees'")?;
        assert_eq!(
            ask(&mut client)?,
            None,
            "{level}: what was prepared is not there"
        );
        client.batch_execute("rollback prepared 'sees'")?;
        if level == "serializable" {
            // What follows would be a serialization failure, as it should.
            continue;
        }
        // A prepared transaction moves no snapshot limit: the next transaction has the same snapshot, and here the same command
        // id.
        let begin = |client: &mut Client, first: &str| -> Result<()> {
            client.batch_execute(&format!("begin isolation level {level}"))?;
            Ok(client.batch_execute(first)?)
        };
        begin(
            &mut client,
            "update ai_catalog_item_consumers set service_account_id = 7 where id = 13",
        )?;
        assert_eq!(ask(&mut client)?, Some(7));
        client.batch_execute("prepare transaction 'sees'")?;
        begin(
            &mut client,
            "update ai_catalog_item_consumers set service_account_id = 9 where id = 12",
        )?;
        assert_eq!(ask(&mut client)?, None, "{level}: in the same command");
        client.batch_execute("rollback")?;
        client.batch_execute("commit prepared 'sees'")?;
        assert_eq!(ask(&mut client)?, Some(7));
    }
    Ok(())
}

/// The rows of one statement are resolved under one snapshot, even if a function changes the tables between two of them.
#[test]
fn function_that_changes_the_catalog_between_rows() -> Result<()> {
    let mut client = attached("service_account_volatile")?;
    client.batch_execute(
        "create function change(n bigint) returns bigint language plpgsql as $$
           begin
             update ai_catalog_item_consumers set service_account_id = 7 + n % 3 where id = 12;
             insert into duo_workflows_workflows (id, user_id, project_id) values (100 + n, 1, 3);
             return 3;
           end $$;
         insert into duo_workflows_workflows (id, user_id, project_id) select n, 1, change(n) from generate_series(1, 3) n",
    )?;
    let accounts =
        "select string_agg(service_account_id::text, ' ' order by id) from duo_workflows_workflows";
    let accounts: String = client.query_one(accounts, &[])?.get(0);
    assert_eq!(accounts, "8 8 8 8 9 7");
    Ok(())
}

#[test]
fn attach_detach_and_what_is_missing() -> Result<()> {
    let mut client = catalog("service_account_attach")?;
    let yes = |detail: &str| ("attached".to_owned(), detail.to_owned());
    let no = |detail: &str| ("skipped".to_owned(), detail.to_owned());
    assert_eq!(answer(&mut client, "detach()")?, no("not attached"));
    assert_eq!(
        answer(&mut client, "detach_service_accounts()")?,
        no("not attached")
    );
    assert_eq!(
        answer(&mut client, "attach()")?,
        yes("filled on insert from public.ai_catalog_item_consumers")
    );
    let before = number(
        &mut client,
        "select oid::bigint from pg_trigger where tgname = 'lockstep_service_account'",
    )?;
    assert_eq!(
        answer(&mut client, "attach()")?,
        yes("already attached, nothing changed")
    );
    let after = number(
        &mut client,
        "select oid::bigint from pg_trigger where tgname = 'lockstep_service_account'",
    )?;
    assert_eq!(before, after);
    client.batch_execute(
        "alter table duo_workflows_workflows disable trigger lockstep_service_account",
    )?;
    assert!(
        answer(&mut client, "attach()")?
            .1
            .starts_with("already attached, but disabled")
    );
    client.batch_execute(
        "alter table duo_workflows_workflows enable trigger lockstep_service_account",
    )?;

    // Removed alone: the cache columns stay.
    let off = ("detached".to_owned(), "trigger removed".to_owned());
    assert_eq!(answer(&mut client, "detach_service_accounts()")?, off);
    client.batch_execute(INSERT)?;
    assert_eq!(
        number(
            &mut client,
            "select count(service_account_id) from duo_workflows_workflows"
        )?,
        0
    );
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep.cache_columns where state = 'active'"
        )?,
        2
    );
    answer(&mut client, "attach()")?;
    client.batch_execute("delete from duo_workflows_workflows")?;
    client.batch_execute(INSERT)?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    assert_eq!(answer(&mut client, "detach()")?, off);
    assert_eq!(triggers(&mut client)?, 0);

    // Missing objects are named, and nothing else changes.
    for (breaking, mending, detail) in [
        (
            "alter table ai_catalog_item_versions rename to v",
            "alter table v rename to ai_catalog_item_versions",
            "schema public has no table ai_catalog_item_versions",
        ),
        (
            "alter table ai_catalog_items rename foundational_flow_reference to r",
            "alter table ai_catalog_items rename r to foundational_flow_reference",
            "column \"foundational_flow_reference\" of relation \"public.ai_catalog_items\" does not exist",
        ),
        (
            "alter table duo_workflows_workflows rename service_account_id to s",
            "alter table duo_workflows_workflows rename s to service_account_id",
            "column \"service_account_id\" of relation \"public.duo_workflows_workflows\" does not exist",
        ),
        (
            "alter table duo_workflows_workflows rename to w",
            "alter table w rename to duo_workflows_workflows",
            "schema public has no table duo_workflows_workflows",
        ),
        (
            "alter table namespaces alter traversal_ids drop default, alter traversal_ids type text using '{}'",
            "alter table namespaces alter traversal_ids type bigint[] using '{}'",
            "column \"traversal_ids\" of \"public.namespaces\" is of type text, not bigint[]",
        ),
    ] {
        client.batch_execute(breaking)?;
        assert_eq!(answer(&mut client, "attach()")?, no(detail));
        assert_eq!(triggers(&mut client)?, 0);
        client.batch_execute(mending)?;
    }
    assert_eq!(answer(&mut client, "attach()")?.0, "attached");
    client.batch_execute("drop extension lockstep")?;
    assert_eq!(
        triggers(&mut client)?,
        0,
        "the trigger goes with the extension"
    );
    Ok(())
}

#[test]
fn partitioned_workflows() -> Result<()> {
    let mut client = catalog("service_account_partitioned")?;
    // One partition's columns have other numbers than those of the whole table.
    client.batch_execute(
        "create schema parts;
         alter table duo_workflows_workflows rename to plain;
         create table duo_workflows_workflows (like plain including defaults, primary key (id)) partition by range (id);
         create table parts.low partition of duo_workflows_workflows for values from (0) to (8);
         create table parts.high (gone text, like plain including defaults);
         alter table parts.high drop column gone;
         alter table duo_workflows_workflows attach partition parts.high for values from (8) to (1000);
         select * from lockstep.attach()",
    )?;
    client.batch_execute(INSERT)?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    client.batch_execute("delete from duo_workflows_workflows")?;
    client.batch_execute(
        &INSERT
            .replace("duo_workflows_workflows", "parts.high")
            .replace("order by id", "where id >= 8"),
    )?;
    client.batch_execute(&INSERT.replace("order by id", "where id < 8"))?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    client.batch_execute("update duo_workflows_workflows set service_account_id = null; select lockstep.fill_service_accounts(1, 99)")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}
