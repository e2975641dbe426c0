//! A hostile search_path, and hostile objects that are found without one, change nothing and are never called.

use anyhow::Result;
use postgres::Client;

use crate::database;
use crate::surface::refusal::error_of;

/// The application's tables with the types that GitLab uses, and a schema `evil` that shadows them and everything queries use.
/// Anything called there leaves a trace that survives a rollback, and fails.
const EVIL: &str = r#"
create type mood as enum ('calm', 'angry');
create table projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean, has_angry boolean);
create table integrations (
  id bigint primary key, project_id integer references projects, active boolean, category varchar, type_new text,
  code char(4), mood mood, number integer
);
create index on integrations (project_id);
insert into projects values (1), (2);

create schema evil;
create sequence evil.calls;
create function evil.called(what text) returns void language plpgsql set search_path = pg_catalog as $$
begin
  perform nextval('evil.calls');
  raise exception 'evil % was called', what;
end $$;

create procedure evil.shadow() language plpgsql as $$
declare
  of text[]; operator text; function text; kind text;
begin
  foreach of slice 1 in array array[
      ['bigint', 'bigint'], ['integer', 'integer'], ['integer', 'bigint'], ['bigint', 'integer'], ['text', 'text'], ['boolean', 'boolean'],
      ['varchar', 'varchar'], ['bpchar', 'bpchar'], ['public.mood', 'public.mood'], ['oid', 'oid'], ['name', 'name'], ['name', 'text'],
      ['"char"', '"char"'], ['smallint', 'smallint'], ['regclass', 'regclass'], ['oid', 'regclass'], ['anyelement', 'anyelement']] loop
    foreach operator in array array['=', '<>', '<', '>', '<=', '>=', '~', '||'] loop
      execute format(
        'create function evil.%I(%s, %s) returns boolean language plpgsql as %L',
        'operator ' || operator, of[1], of[2], format('begin perform evil.called(%L); return true; end', operator || of::text));
      execute format(
        'create operator evil.%s (leftarg = %s, rightarg = %s, function = evil.%I)', operator, of[1], of[2], 'operator ' || operator);
    end loop;
  end loop;
  foreach function in array array[
      'count(boolean)', 'count("any")', 'unnest(bigint[])', 'unnest(anyarray)', 'format(text, text)', 'format(text, text, text)',
      'quote_ident(text)', 'quote_literal(text)', 'now()', 'array_agg(bigint)', 'jsonb_agg(jsonb)', 'to_jsonb(anyelement)', 'text(name)',
      'pg_has_role(name, oid, text)', 'pg_partition_ancestors(regclass)', 'pg_partition_tree(regclass)', 'int8(bigint)', 'bool(boolean)',
      'text(boolean)', 'varchar(text)', 'jsonb_array_elements_text(jsonb)', 'cardinality(anyarray)', 'cache_column_drift_query(regclass, text)'] loop
    continue when function = 'count("any")';
    execute format('create function evil.%s returns integer language plpgsql as %L', function,
                   format('begin perform evil.called(%L); return 1; end', function));
  end loop;
  foreach kind in array array['bool', 'text', 'int8', 'int4', 'varchar', 'oid', 'regclass', 'jsonb', 'name'] loop
    execute format('create domain evil.%I as pg_catalog.%I check (evil.called(''type'') is null)', kind, kind);
  end loop;
end $$;
call evil.shadow();

create table evil.projects (like public.projects);
create table evil.integrations (like public.integrations);
create table evil.pg_class ();
create table evil.pg_trigger ();
create table evil.pg_attribute ();
create table evil.cache_column_definition (like lockstep_internal.cache_column_definition);
create temporary table projects (like public.projects);
create temporary table pg_class ();
insert into evil.projects values (1);
"#;

/// A definition on each type that has no equality operator of its own in pg_catalog, so that one must be chosen.
const ADD: &str = r#"
select lockstep.add_cache_column('public.projects', 'has_angry', 'public.integrations', 'project_id',
                                 '{"mood": "angry", "category": "c", "code": "abcd", "number": 1}', guard => true)"#;

/// Statements that do not need an operator, function or type from the search path themselves.
const WRITES: [&str; 9] = [
    "insert into public.integrations values (1, 1, true, 'issue_tracker', 'Integrations::ExternalWiki', null, null, null)",
    "insert into public.integrations values (2, 1, true, 'c', null, 'abcd', 'angry', 1), (3, 2, true, 'c', null, 'abcd', 'angry', 1)",
    "update public.integrations set project_id = 2",
    "update public.integrations set active = false",
    "update public.integrations set mood = 'calm'",
    "update public.projects set has_angry = true",
    "insert into public.projects values (3), (4)",
    "delete from public.integrations",
    "truncate public.integrations",
];

fn with_evil(name: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(EVIL)?;
    Ok(client)
}

fn assert_nothing_was_called(client: &mut Client) -> Result<()> {
    client.batch_execute("reset search_path")?;
    let row = client.query_one("select is_called from evil.calls", &[])?;
    assert!(
        !row.get::<_, bool>(0),
        "something in schema evil was called"
    );
    let drift = "select count(*) from lockstep.cache_columns c, lockstep.cache_column_drift(c.target_table, c.target_column)";
    assert_eq!(client.query_one(drift, &[])?.get::<_, i64>(0), 0);
    let row = client.query_one(
        "select count(*) from evil.projects p where p.has_external_wiki is null",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 1);
    Ok(())
}

const HOSTILE: &str = "set search_path = evil, pg_temp, pg_catalog, public";

/// The shadowing objects are called by unprotected code; otherwise the tests below would prove nothing.
#[test]
fn shadows_are_real() -> Result<()> {
    let mut client = with_evil("privilege_shadows")?;
    client.batch_execute(HOSTILE)?;
    for statement in [
        "select from public.projects where id = 1::bigint",
        "select from public.integrations where category = 'x'::pg_catalog.varchar",
        "select from public.integrations where mood = 'calm'",
        "select count(active) from public.integrations",
        "select now()",
        "select 'x'::text",
    ] {
        // With empty or filled tables; whether constants are folded or executed, one row is enough.
        client.batch_execute("insert into public.integrations values (9, 1, true, 'x', 'x', 'x', 'calm', 1) on conflict do nothing")?;
        let error = error_of(&mut client, statement)?;
        assert!(
            error.message().starts_with("evil"),
            "{statement}: {error:?}"
        );
    }
    Ok(())
}

#[test]
fn writes_under_a_hostile_search_path() -> Result<()> {
    let mut client = with_evil("privilege_path_writes")?;
    client.batch_execute("select lockstep.attach(); select lockstep.repair_cache_column(target_table, target_column) from lockstep.cache_columns")?;
    client.batch_execute(ADD)?;
    client.batch_execute("select lockstep.repair_cache_column('public.projects', 'has_angry')")?;
    // A backend that has flushed before has parsed its statements; a new one parses them now.
    let mut fresh = database::cluster()?.connect("privilege_path_writes")?;
    for writer in [&mut client, &mut fresh] {
        writer.batch_execute(HOSTILE)?;
        for statement in WRITES {
            writer.batch_execute(statement)?;
        }
        writer.batch_execute("delete from public.projects where has_angry is null; reset search_path; delete from public.projects where id > 2")?;
    }
    assert_nothing_was_called(&mut client)
}

#[test]
fn calls_under_a_hostile_search_path() -> Result<()> {
    let mut client = with_evil("privilege_path_calls")?;
    client.batch_execute(HOSTILE)?;
    client.batch_execute("select lockstep.attach()")?;
    client.batch_execute(ADD)?;
    for statement in WRITES {
        client.batch_execute(statement)?;
    }
    client.batch_execute(
        "select lockstep.attach();
         select * from lockstep.cache_column_drift('public.projects', 'has_external_wiki');
         select lockstep.repair_cache_column('public.projects', 'has_external_wiki');
         select lockstep.repair_cache_column('public.projects', 'has_external_issue_tracker');
         select lockstep.repair_cache_column('public.projects', 'has_angry');
         select * from lockstep.cache_columns",
    )?;
    assert_nothing_was_called(&mut client)?;
    // What was created under it works without it, and can be removed under it.
    for statement in WRITES
        .iter()
        .filter(|write| !write.contains("projects values"))
    {
        client.batch_execute(statement)?;
    }
    assert_nothing_was_called(&mut client)?;
    client.batch_execute(HOSTILE)?;
    client.batch_execute(
        "select lockstep.detach(); select lockstep.remove_cache_column('public.projects', 'has_angry')",
    )?;
    let row = client.query_one(
        "select pg_catalog.count(*) from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) g.tgrelid
          where not g.tgisinternal and c.relnamespace operator(pg_catalog.<>) all ('{lockstep,lockstep_internal}'::pg_catalog.regnamespace[])",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 0);
    assert_nothing_was_called(&mut client)
}

/// An operator found by its operand types needs no search_path. Any user with a schema may create one, and a flush runs with the
/// rights of the tables' owner.
#[test]
fn operator_of_somebody_else_is_not_taken_for_the_equality_of_a_type() -> Result<()> {
    let name = "privilege_operator";
    let mut client = with_evil(name)?;
    client.batch_execute(&format!(
        "create role {name}_mallory; create schema a_first authorization {name}_mallory; set role {name}_mallory"
    ))?;
    for kind in ["varchar", "public.mood", "bpchar"] {
        client.batch_execute(&format!(
            "create function a_first.equal({kind}, {kind}) returns boolean language plpgsql as $$
               begin raise exception 'called as %', current_user; end $$;
             create operator a_first.= (leftarg = {kind}, rightarg = {kind}, function = a_first.equal)"
        ))?;
    }
    client.batch_execute("reset role; select lockstep.attach()")?;
    client.batch_execute(ADD)?;
    for statement in WRITES {
        client.batch_execute(statement)?;
    }
    client.batch_execute("select lockstep.repair_cache_column(target_table, target_column) from lockstep.cache_columns")?;
    assert_nothing_was_called(&mut client)
}

/// A schema of that name that somebody prepared, with their own objects in it, is not taken over.
#[test]
fn squatted_schema_is_refused() -> Result<()> {
    let mut client = database::empty("privilege_squatted")?;
    client.batch_execute("create schema lockstep")?;
    for statement in [
        "create extension lockstep",
        "create extension lockstep schema lockstep",
        "create extension lockstep cascade",
    ] {
        let error = error_of(&mut client, statement)?;
        assert!(
            matches!(error.code().code(), "42P06" | "0A000"),
            "{statement}: {error:?}"
        );
    }
    let row = client.query_one(
        "select (select count(*) from pg_extension where extname = 'lockstep')
              + (select count(*) from pg_proc where pronamespace::regnamespace::text ~ '^lockstep')",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 0);
    client.batch_execute("drop schema lockstep; create extension lockstep")?;
    Ok(())
}
