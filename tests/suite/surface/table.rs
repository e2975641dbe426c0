//! Source and target must be tables on which triggers work.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::surface::refusal::refused;

/// A valid source and target, and relations of every kind; those ending in _s are used as sources.
const RELATIONS: &str = "
create table good_t (id bigint primary key, cached boolean);
create table good_s (key bigint, active boolean);
create index on good_s (key);

create view view_t as table good_t;
create view view_s as table good_s;
create materialized view materialized_t as table good_t;
create materialized view materialized_s as table good_s;
create index on materialized_s (key);
create sequence sequence_t;
create type type_t as (id bigint, cached boolean);

create foreign data wrapper nowhere;
create server nowhere foreign data wrapper nowhere;
create foreign table foreign_t (id bigint, cached boolean) server nowhere;
create foreign table foreign_s (key bigint, active boolean) server nowhere;

create table whole_t (id bigint primary key, cached boolean) partition by range (id);
create table part_t partition of whole_t default;
create table whole_s (key bigint, active boolean) partition by range (key);
create table part_s partition of whole_s default;
create index on whole_s (key);

create table parent_t (id bigint primary key, cached boolean);
create table child_t (primary key (id)) inherits (parent_t);
create table parent_s (key bigint, active boolean);
create table child_s () inherits (parent_s);
create index on parent_s (key);
";

fn with_relations(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(RELATIONS)?;
    Ok(client)
}

fn add(target: &str, source: &str) -> String {
    format!(
        "select lockstep.add_cache_column('{target}', 'cached', '{source}', 'key', '{{\"active\": true}}')"
    )
}

#[test]
fn what_is_no_table_is_refused_as_target_and_as_source() -> Result<()> {
    let mut client = with_relations("surface_no_table")?;
    for kind in [
        "view",
        "materialized",
        "sequence",
        "type",
        "foreign",
        "part",
    ] {
        let target = format!("{kind}_t");
        let message = format!("\"public.{target}\" is not a table");
        refused(&mut client, &add(&target, "good_s"), "42809", &message)?;
    }
    for kind in ["view", "materialized", "foreign", "part"] {
        let source = format!("{kind}_s");
        let message = format!("\"public.{source}\" is not a table");
        refused(&mut client, &add("good_t", &source), "42809", &message)?;
    }
    Ok(())
}

#[test]
fn temporary_table_is_refused() -> Result<()> {
    let mut client = with_relations("surface_temporary")?;
    client.batch_execute(
        "create temporary table short_t (id bigint primary key, cached boolean);
         create temporary table short_s (key bigint, active boolean);
         create index on short_s (key)",
    )?;
    refused(
        &mut client,
        &add("short_t", "good_s"),
        "0A000",
        "temporary table",
    )?;
    refused(
        &mut client,
        &add("good_t", "short_s"),
        "0A000",
        "temporary table",
    )?;
    Ok(())
}

/// A parent's triggers do not fire for rows of its children, nor a child's statement triggers for statements on the parent.
#[test]
fn parent_and_child_of_an_inheritance_are_refused() -> Result<()> {
    let mut client = with_relations("surface_inheritance")?;
    for (target, source) in [("parent_t", "good_s"), ("good_t", "parent_s")] {
        refused(
            &mut client,
            &add(target, source),
            "0A000",
            "has inheritance children",
        )?;
    }
    client.batch_execute("create index on child_s (key)")?;
    for (target, source) in [("child_t", "good_s"), ("good_t", "child_s")] {
        let message = "inherits from another table";
        refused(&mut client, &add(target, source), "0A000", message)?;
    }
    Ok(())
}

/// System catalogs cannot have triggers.
#[test]
fn system_catalog_is_refused() -> Result<()> {
    let mut client = with_relations("surface_catalog")?;
    let target = "select lockstep.add_cache_column('pg_class', 'relhasindex', 'good_s', 'key', '{\"active\": true}')";
    refused(&mut client, target, "42809", "pg_class")?;
    let source = "select lockstep.add_cache_column('good_t', 'cached', 'pg_class', 'relnatts', '{\"relhasindex\": true}')";
    refused(&mut client, source, "42809", "pg_class")?;
    Ok(())
}

/// pg_dump leaves out triggers on tables that belong to an extension, so the definition would be restored without them.
#[test]
fn table_of_an_extension_is_refused() -> Result<()> {
    let mut client = with_relations("surface_extension_table")?;
    let own = "select lockstep.add_cache_column('lockstep_internal.cache_column_definition', 'guard', 'good_s', 'key', '{\"active\": true}')";
    refused(&mut client, own, "0A000", "extension")?;
    // Any extension can own the table; this one always exists.
    client.batch_execute("alter extension plpgsql add table whole_t")?;
    client.batch_execute("alter extension plpgsql add table good_s")?;
    refused(
        &mut client,
        &add("whole_t", "whole_s"),
        "0A000",
        "extension",
    )?;
    refused(&mut client, &add("good_t", "good_s"), "0A000", "extension")?;
    Ok(())
}

#[test]
fn table_that_is_not_there_is_refused() -> Result<()> {
    let mut client = with_relations("surface_unknown_table")?;
    // By name, PostgreSQL itself reports it when it reads the argument.
    let error = crate::surface::refusal::error_of(&mut client, &add("public.nothing_t", "good_s"))?;
    assert_eq!(error.code().code(), "42P01", "{error:?}");
    for (target, source) in [("4000000000", "good_s"), ("good_t", "4000000000")] {
        let message = "4000000000 does not exist";
        refused(&mut client, &add(target, source), "42P01", message)?;
    }
    for call in [
        "remove_cache_column(4000000000::regclass, 'cached')",
        "repair_cache_column(4000000000::regclass, 'cached')",
        "cache_column_drift(4000000000::regclass, 'cached')",
    ] {
        let statement = format!("select lockstep.{call}");
        let error = crate::surface::refusal::error_of(&mut client, &statement)?;
        assert!(
            matches!(error.code().code(), "42P01" | "42704"),
            "{error:?}"
        );
    }
    Ok(())
}
