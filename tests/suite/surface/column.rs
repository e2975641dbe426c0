//! The cache column, the key and the primary key must have suitable types, and the key needs an index.

use anyhow::{Context, Result};
use postgres::Client;

use crate::database;
use crate::surface::refusal::refused;

const TABLES: &str = "
create table target (
  id bigint primary key, cached boolean, flag text, number integer,
  computed boolean generated always as (number > 0) stored
);
create table source (key bigint, active boolean, small smallint, name text, uuid uuid, \"Key\" bigint);
create index on source (key);
create index on source (small);
create index on source (name);
create index on source (uuid);
";

fn with_tables(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(TABLES)?;
    Ok(client)
}

fn add(target: &str, column: &str, source: &str, key: &str) -> String {
    format!(
        "select lockstep.add_cache_column('{target}', '{column}', '{source}', '{key}', '{{\"active\": true}}')"
    )
}

#[test]
fn cache_column_is_a_plain_boolean() -> Result<()> {
    let mut client = with_tables("surface_cache_column")?;
    let too_long = "x".repeat(64);
    let cases = [
        ("nothing", "42703", "column \"nothing\""),
        ("Cached", "42703", "column \"Cached\""),
        ("", "42703", "column \"\""),
        (&too_long, "42703", "does not exist"),
        ("ctid", "42703", "column \"ctid\""),
        ("flag", "42804", "not boolean"),
        ("id", "42804", "not boolean"),
        ("computed", "42809", "is a generated column"),
    ];
    for (column, sqlstate, message) in cases {
        refused(
            &mut client,
            &add("target", column, "source", "key"),
            sqlstate,
            message,
        )?;
    }
    // A dropped column does not exist, whatever its remains are named.
    client.batch_execute("alter table target drop column cached")?;
    for column in ["cached", "........pg.dropped.2........"] {
        refused(
            &mut client,
            &add("target", column, "source", "key"),
            "42703",
            "does not exist",
        )?;
    }
    Ok(())
}

#[test]
fn key_is_an_integer_column() -> Result<()> {
    let mut client = with_tables("surface_key")?;
    let cases = [
        ("nothing", "42703", "column \"nothing\""),
        ("tableoid", "42703", "column \"tableoid\""),
        ("active", "42804", "key column \"active\""),
        ("name", "42804", "key column \"name\""),
        ("uuid", "42804", "key column \"uuid\""),
    ];
    for (key, sqlstate, message) in cases {
        refused(
            &mut client,
            &add("target", "cached", "source", key),
            sqlstate,
            message,
        )?;
    }
    // A key of another size than the primary key works.
    client.batch_execute(&add("target", "cached", "source", "small"))?;
    Ok(())
}

#[test]
fn target_has_an_integer_primary_key_of_one_column() -> Result<()> {
    let mut client = with_tables("surface_primary_key")?;
    client.batch_execute(
        "create table keyless (id bigint not null unique, cached boolean);
         create table composite (a bigint, b bigint, cached boolean, primary key (a, b));
         create table by_uuid (id uuid primary key, cached boolean);
         create table by_name (id text primary key, cached boolean);
         create table including (id bigint, note text, cached boolean, primary key (id) include (note))",
    )?;
    let cases = [
        ("keyless", "55000", "has no primary key"),
        ("composite", "0A000", "a primary key of several columns"),
        ("by_uuid", "42804", "\"id\" of \"public.by_uuid\""),
        ("by_name", "42804", "\"id\" of \"public.by_name\""),
    ];
    for (target, sqlstate, message) in cases {
        refused(
            &mut client,
            &add(target, "cached", "source", "key"),
            sqlstate,
            message,
        )?;
    }
    client.batch_execute(&add("including", "cached", "source", "key"))?;
    Ok(())
}

#[test]
fn key_has_an_index_that_finds_any_of_its_rows() -> Result<()> {
    let mut client = with_tables("surface_index")?;
    let useless = [
        "create table s (key bigint, active boolean, other bigint)",
        "create index on s (key) where active",
        "create index on s ((key + 0))",
        "create index on s using hash (key)",
        "create index on s using brin (key)",
        "create index on s (other, key)",
        "create index on s (other) include (key)",
        "create index invalid on s (key);
         update pg_index set indisvalid = false where indexrelid = 'invalid'::regclass",
    ];
    for statement in useless {
        client.batch_execute(statement)?;
        refused(
            &mut client,
            &add("target", "cached", "s", "key"),
            "55000",
            "no index on \"public.s\" starts with key column \"key\"",
        )
        .with_context(|| format!("after {statement}"))?;
    }
    client.batch_execute("create index on s (key, other)")?;
    client.batch_execute(&add("target", "cached", "s", "key"))?;
    Ok(())
}

/// The hint for a missing index is a working statement, also where names need quotes.
#[test]
fn hint_of_a_missing_index_can_be_run() -> Result<()> {
    let mut client = with_tables("surface_index_hint")?;
    let statement = add("target", "cached", "source", "Key");
    let error = refused(&mut client, &statement, "55000", "no index on")?;
    let hint = error.hint().context("no hint")?;
    let (_, command) = hint.split_once(": ").context("no command in the hint")?;
    client.batch_execute(command.trim_end_matches('.'))?;
    client.batch_execute(&statement)?;
    Ok(())
}

#[test]
fn column_is_defined_once_and_only_what_is_defined_can_be_removed() -> Result<()> {
    let mut client = with_tables("surface_duplicate")?;
    let remove = "select lockstep.remove_cache_column('target', 'cached')";
    refused(&mut client, remove, "42704", "is not a cache column")?;
    client.batch_execute(&add("target", "cached", "source", "key"))?;
    for key in ["key", "small"] {
        let again = add("target", "cached", "source", key);
        refused(&mut client, &again, "42710", "is already defined")?;
    }
    for (target, column) in [("target", "computed"), ("source", "active")] {
        for call in ["remove_cache_column", "repair_cache_column"] {
            let statement = format!("select lockstep.{call}('{target}', '{column}')");
            refused(&mut client, &statement, "42704", "is not a cache column")?;
        }
        let statement = format!("select lockstep.cache_column_drift('{target}', '{column}')");
        refused(&mut client, &statement, "42704", "is not a cache column")?;
    }
    client.batch_execute(remove)?;
    refused(&mut client, remove, "42704", "is not a cache column")?;
    Ok(())
}

/// A silent null would look like success: no definition is created, no drift is found, nothing is repaired.
#[test]
fn null_is_no_argument() -> Result<()> {
    let mut client = with_tables("surface_null")?;
    client.batch_execute(&add("target", "cached", "source", "key"))?;
    let calls = [
        "add_cache_column(null, 'cached', 'source', 'key', '{\"active\": true}')",
        "add_cache_column('target', null, 'source', 'key', '{\"active\": true}')",
        "add_cache_column('target', 'cached', null, 'key', '{\"active\": true}')",
        "add_cache_column('target', 'cached', 'source', null, '{\"active\": true}')",
        "add_cache_column('target', 'cached', 'source', 'key', null)",
        "add_cache_column('target', 'cached', 'source', 'key', '{\"active\": true}', guard => null)",
        "add_cache_column('target', 'cached', 'source', 'key', '{\"active\": true}', fire_always => null)",
        "remove_cache_column(null, 'cached')",
        "remove_cache_column('target', null)",
        "cache_column_drift(null, 'cached')",
        "cache_column_drift('target', null)",
        "repair_cache_column(null, 'cached')",
        "repair_cache_column('target', null)",
        "attach(null)",
        "attach('public', null)",
        "detach(null)",
    ];
    let mut accepted = Vec::new();
    for call in calls {
        let statement = format!("select * from lockstep.{call}");
        if let Err(error) = refused(&mut client, &statement, "22004", "must not be null") {
            accepted.push(format!("{error:#}"));
        }
    }
    assert!(accepted.is_empty(), "{}", accepted.join("\n"));
    // Null as the number of rows to repair means all: it is the default.
    client.batch_execute(
        "select lockstep.repair_cache_column('target', 'cached', max_rows => null)",
    )?;
    let negative = "select lockstep.repair_cache_column('target', 'cached', max_rows => -1)";
    refused(&mut client, negative, "22023", "max_rows")?;
    Ok(())
}

/// The number is not limited; each statement on the source maintains all of them.
#[test]
fn thirty_definitions_on_one_source() -> Result<()> {
    let mut client = with_tables("surface_thirty")?;
    client.batch_execute(
        "do $$ begin
           for n in 1..30 loop
             execute format('alter table target add column cached_%s boolean', n);
             perform lockstep.add_cache_column('target', 'cached_' || n, 'source', 'key', jsonb_build_object('name', 'kind ' || n % 10));
           end loop;
         end $$;
         insert into target (id) values (1), (2);
         insert into source (key, name) select 1 + n % 2, 'kind ' || n from generate_series(0, 9) n;
         delete from source where name = 'kind 4'",
    )?;
    let row = client.query_one(
        "select (select count(*) from target t, jsonb_each_text(to_jsonb(t)) c where c.key ~ 'cached_' and c.value = 'true'),
                (select count(*) from lockstep.cache_columns c, lockstep.cache_column_drift(c.target_table, c.target_column))",
        &[],
    )?;
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (27, 0));
    Ok(())
}
