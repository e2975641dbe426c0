//! What a job would do: the same as it does, and nothing is changed or locked.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::backfill::counted;
use crate::database::cluster;
use crate::service_account::{INSERT, catalog, number};
use crate::surface::refusal::error_of;

/// Outcome, whether it is written, rows, examples.
type Told = (String, bool, i64, Vec<i64>);

fn preview(client: &mut Client, arguments: &str) -> Result<Vec<Told>> {
    let query = format!(
        "select outcome, writes, rows, examples from lockstep.preview_backfill({arguments})"
    );
    let rows = client.query(&query, &[])?;
    Ok(rows
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect())
}

#[test]
fn service_accounts_are_told_by_outcome() -> Result<()> {
    let mut client = catalog("preview_accounts")?;
    client.batch_execute(INSERT)?;
    let expected = client.query(
        "select ended, account is not null, count(*), (array_agg(id order by id))[:2] from expected group by 1, 2 order by 1",
        &[],
    )?;
    let expected: Vec<Told> = expected
        .iter()
        .map(|row| (row.get(0), row.get(1), row.get(2), row.get(3)))
        .collect();
    ensure!(expected.len() == 5, "{expected:?}");
    let told = preview(&mut client, "'service_accounts', examples => 2")?;
    assert_eq!(told, expected);
    let filled = "select count(service_account_id) from duo_workflows_workflows";
    assert_eq!(number(&mut client, filled)?, 0);
    // What it said happens, and then there is less to say.
    let would_write: i64 = told.iter().filter(|it| it.1).map(|it| it.2).sum();
    client.batch_execute("call lockstep.backfill('service_accounts')")?;
    assert_eq!(number(&mut client, filled)?, would_write);
    let left = preview(&mut client, "'service_accounts'")?;
    ensure!(left.len() == 4 && left.iter().all(|it| !it.1), "{left:?}");
    // More rows than are read at a time.
    client.batch_execute(
        "insert into duo_workflows_workflows (id, user_id, project_id, workflow_definition)
           select n, 1, 1, 'software_development' from generate_series(1001, 13000) n",
    )?;
    let told = preview(&mut client, "'service_accounts', examples => 0")?;
    ensure!(
        told.contains(&("resolved".to_owned(), true, 12_000, vec![])),
        "{told:?}"
    );
    Ok(())
}

#[test]
fn cache_columns_are_told_by_change() -> Result<()> {
    let name = "preview_columns";
    let mut client = catalog(name)?;
    client.batch_execute(
        "do $$begin perform lockstep.attach(); end$$;
         update projects set has_external_wiki = false, has_external_issue_tracker = false;
         set session_replication_role = replica;
         update projects set has_external_wiki = null where id = 2;
         update projects set has_external_wiki = true where id in (3, 4);
         update projects set has_external_issue_tracker = true where id = 4;
         reset session_replication_role",
    )?;
    // A session that has the rows does not matter, and finds them unlocked.
    let mut other = cluster()?.connect(name)?;
    other.batch_execute("begin; update projects set name = 'x' where id = 3")?;
    client.batch_execute("set lock_timeout = '10s'; begin")?;
    assert_eq!(
        preview(&mut client, "'cache_columns', 'projects'")?,
        [
            // A row counts for each of its columns.
            (
                "has_external_issue_tracker: true -> false".to_owned(),
                true,
                1,
                vec![4]
            ),
            (
                "has_external_wiki: null -> false".to_owned(),
                true,
                1,
                vec![2]
            ),
            (
                "has_external_wiki: true -> false".to_owned(),
                true,
                2,
                vec![3, 4]
            ),
        ]
    );
    other.batch_execute("rollback; update projects set name = 'y' where id = 2")?;
    client.batch_execute("commit")?;
    client.batch_execute("call lockstep.backfill('cache_columns', 'projects')")?;
    assert_eq!(preview(&mut client, "'cache_columns', 'projects'")?, []);
    Ok(())
}

#[test]
fn what_cannot_be_told_is_refused() -> Result<()> {
    let mut client = counted("preview_refused", 10)?;
    for (arguments, code) in [
        ("'count'", "0A000"),
        ("'nope'", "42704"),
        ("null", "22004"),
        ("'count', examples => null", "22004"),
        ("'count', examples => -1", "22023"),
    ] {
        let call = format!("select * from lockstep.preview_backfill({arguments})");
        let error = error_of(&mut client, &call)?;
        assert_eq!(error.code().code(), code, "{arguments}: {error}");
    }
    let mut client = catalog("preview_owner")?;
    client.batch_execute("create role preview_nobody")?;
    client.batch_execute("set role preview_nobody")?;
    let call = "select * from lockstep.preview_backfill('service_accounts')";
    let error = error_of(&mut client, call)?;
    assert_eq!(error.code().code(), "42501", "{error}");
    Ok(())
}
