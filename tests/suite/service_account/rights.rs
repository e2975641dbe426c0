//! Service accounts and permissions: whose rights a lookup has, hostile search paths, dumps.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use postgres::Client;

use crate::database::{self, cluster};
use crate::mallory::{self, moves_in, noted};
use crate::service_account::{INSERT, WRONG, catalog, number};
use crate::surface::refusal::{error_of, refused};

/// The catalog with two roles: `_owner` of everything, `_writer` who may insert workflows and read nothing else.
fn with_roles(name: &str) -> Result<Client> {
    let mut client = catalog(name)?;
    client.batch_execute(&format!(
        "create role {name}_owner; create role {name}_writer; create role {name}_reader;
         alter table duo_workflows_workflows owner to {name}_owner; alter table ai_catalog_items owner to {name}_owner;
         alter table ai_catalog_item_versions owner to {name}_owner; alter table ai_catalog_item_consumers owner to {name}_owner;
         alter table projects owner to {name}_owner; alter table namespaces owner to {name}_owner;
         alter table integrations owner to {name}_owner; alter table slack_integrations owner to {name}_owner;
         alter table slack_integrations_scopes owner to {name}_owner; alter table slack_api_scopes owner to {name}_owner;
         grant select on users to {name}_owner;
         grant insert, select on duo_workflows_workflows to {name}_writer; grant select on expected to {name}_writer, {name}_reader, {name}_owner;
         grant usage on sequence duo_workflows_workflows_id_seq to {name}_writer, {name}_owner;
         grant select on duo_workflows_workflows, ai_catalog_items, ai_catalog_item_versions, ai_catalog_item_consumers, projects, namespaces
           to {name}_reader;
         grant create on schema public to {name}_owner;
         set role {name}_owner; select * from lockstep.attach(); reset role"
    ))?;
    Ok(client)
}

#[test]
fn writer_needs_no_right_on_the_catalog() -> Result<()> {
    let name = "service_account_writer";
    let mut client = with_roles(name)?;
    // Row security on the owner's tables hides nothing from the lookup.
    client.batch_execute(&format!(
        "alter table ai_catalog_item_consumers enable row level security; alter table ai_catalog_item_consumers force row level security;
         set role {name}_writer"
    ))?;
    client.batch_execute(INSERT)?;
    client.batch_execute("reset role")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    // The functions only show what their caller may read.
    client.batch_execute(&format!("set role {name}_writer"))?;
    for call in [
        "resolve_service_account(10, 'a', 1, null)",
        "explain_service_account(1)",
    ] {
        let error = error_of(&mut client, &format!("select lockstep.{call}"))?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
    }
    refused(
        &mut client,
        "select lockstep.fill_service_accounts(1, 99)",
        "42501",
        "must be owner of table",
    )?;
    refused(
        &mut client,
        "select lockstep.detach_service_accounts()",
        "42501",
        "must be owner of table",
    )?;
    refused(
        &mut client,
        "select lockstep.attach()",
        "42501",
        "must be owner of table",
    )?;
    let resolved = "select lockstep.resolve_service_account(10, 'a', 1, null)";
    client.batch_execute(&format!("set role {name}_reader"))?;
    // Everything is read as the owner, so a caller who only sees some of the rows is shown none.
    refused(&mut client, resolved, "42501", "row security")?;
    client.batch_execute(
        "reset role; alter table ai_catalog_item_consumers disable row level security",
    )?;
    client.batch_execute(&format!("set role {name}_reader"))?;
    assert_eq!(
        client.query_one(resolved, &[])?.get::<_, Option<i64>>(0),
        Some(7)
    );
    client.batch_execute(&format!("reset role; update duo_workflows_workflows set service_account_id = null; set role {name}_owner"))?;
    client.batch_execute("select lockstep.fill_service_accounts(1, 99); reset role")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    Ok(())
}

/// Tables of several owners: each is read as its own, if the workflows' owner may read it.
#[test]
fn owners_that_differ() -> Result<()> {
    let name = "service_account_owners";
    let mut client = with_roles(name)?;
    client.batch_execute(&format!(
        "create role {name}_other; alter table ai_catalog_item_consumers owner to {name}_other; revoke all on ai_catalog_item_consumers from {name}_owner"
    ))?;
    let may_not = "may not read table";
    refused(&mut client, INSERT, "42501", may_not)?;
    refused(
        &mut client,
        "select lockstep.fill_service_accounts(1, 99)",
        "42501",
        may_not,
    )?;
    client.batch_execute("select * from lockstep.detach_service_accounts()")?;
    let row = client.query_one(
        "select status, detail from lockstep.attach() where feature ~ '^duo'",
        &[],
    )?;
    assert_eq!(row.get::<_, String>(0), "skipped");
    assert!(row.get::<_, String>(1).contains(may_not));
    client.batch_execute(&format!("grant select on ai_catalog_item_consumers to {name}_owner; select * from lockstep.attach(); set role {name}_writer"))?;
    client.batch_execute(INSERT)?;
    client.batch_execute("reset role")?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    client.batch_execute(&format!(
        "select * from lockstep.detach(); set role {name}_owner"
    ))?;
    refused(
        &mut client,
        "select lockstep.attach()",
        "42501",
        "ai_catalog_item_consumers",
    )?;
    Ok(())
}

/// Tables with the same names, and functions and operators that fail when called, come first in the path.
#[test]
fn hostile_search_path() -> Result<()> {
    let name = "service_account_path";
    let mut client = catalog(name)?;
    client.batch_execute(
        "create schema evil;
         create table evil.duo_workflows_workflows (like public.duo_workflows_workflows);
         create table evil.projects (like public.projects); create table evil.namespaces (like public.namespaces);
         create table evil.ai_catalog_items (like public.ai_catalog_items);
         create table evil.ai_catalog_item_versions (like public.ai_catalog_item_versions);
         create table evil.ai_catalog_item_consumers (like public.ai_catalog_item_consumers);
         create function evil.called() returns boolean language plpgsql as $$ begin raise exception 'evil was called'; end $$;
         create function evil.unnest(bigint[]) returns setof bigint language sql as 'select evil.called()::int::bigint';
         do $$
         declare kind text; operator text;
         begin
           foreach kind in array array['bigint', 'text', 'integer', 'xid'] loop
             foreach operator in array array['=', '<=', '>='] loop
               execute format('create function evil.%I(%s, %s) returns boolean language sql as %L', operator || kind, kind, kind, 'select evil.called()');
               execute format('create operator evil.%s (leftarg = %s, rightarg = %s, function = evil.%I)', operator, kind, kind, operator || kind);
             end loop;
           end loop;
           foreach kind in array array['int8', 'text'] loop
             execute format('create domain evil.%I as pg_catalog.%I check (evil.called())', kind, kind);
           end loop;
         end $$",
    )?;
    const HOSTILE: &str = "set search_path = evil, pg_temp, pg_catalog, public";
    let insert = INSERT
        .replace("into duo", "into public.duo")
        .replace("from expected", "from public.expected");
    // A new backend parses its statements under this path.
    let mut hostile = cluster()?.connect(name)?;
    hostile.batch_execute(HOSTILE)?;
    let trap = error_of(
        &mut hostile,
        "select from public.expected where id = 1::bigint",
    )?;
    assert!(trap.message().contains("evil was called"));
    hostile.batch_execute("select * from lockstep.attach()")?;
    hostile.batch_execute(&insert)?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    client.batch_execute("update duo_workflows_workflows set service_account_id = null")?;
    let mut hostile = cluster()?.connect(name)?;
    hostile.batch_execute(HOSTILE)?;
    hostile.batch_execute(
        "select lockstep.fill_service_accounts('1', '99'); select lockstep.explain_service_account('1');
         select lockstep.resolve_service_account('10', 'a', '1', null)",
    )?;
    assert_eq!(number(&mut client, WRONG)?, 0);
    hostile.batch_execute("select lockstep.detach_service_accounts()")?;
    Ok(())
}

/// A catalog of Mallory's, with code on it. Attaching, asking and filling never lend her the caller's rights.
#[test]
fn code_of_the_owner_runs_as_the_owner_alone() -> Result<()> {
    let name = "service_account_hostile";
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    moves_in(&mut client, name)?;
    let mallory = mallory::role(name);
    let other = format!("{name}_other");
    client.batch_execute(&format!(
        "create role {other}; set role {mallory}; set search_path = mallory, pg_catalog;
         create table duo_workflows_workflows (id bigint primary key, ai_catalog_item_version_id bigint, ai_catalog_item_id bigint,
           workflow_definition text, project_id bigint, namespace_id bigint, service_account_id bigint);
         create table ai_catalog_items (id bigint primary key, foundational_flow_reference text);
         create table ai_catalog_item_versions (id bigint primary key, ai_catalog_item_id bigint);
         create table ai_catalog_item_consumers (id bigint primary key, ai_catalog_item_id bigint, group_id bigint, service_account_id bigint);
         create table projects (id bigint primary key, namespace_id bigint);
         create table namespaces (id bigint primary key, traversal_ids bigint[]);
         insert into ai_catalog_items values (1, 'flow'); insert into ai_catalog_item_versions values (10, 1);
         insert into ai_catalog_item_consumers values (1, 1, 1, 7); insert into namespaces values (1, '{{1}}'); insert into projects values (1, 1);
         insert into duo_workflows_workflows select n, 10, null, 'flow', 1 from generate_series(1, 9) n;
         select mallory.trap(oid), mallory.hide(oid) from pg_class where relnamespace = 'mallory'::regnamespace and relkind = 'r' and relname <> 'seen';
         grant select on all tables in schema mallory to {other}; reset role; delete from seen"
    ))?;
    for role in [&mallory, "none"] {
        client.batch_execute(&format!(
            "set role {role}; select * from lockstep.attach('mallory'); select lockstep.fill_service_accounts(1, 5, 'mallory'); reset role"
        ))?;
        let what = noted(&mut client, name)?;
        ensure!(what.iter().any(|it| it == "before_row"), "{what:?}");
        assert_eq!(
            number(
                &mut client,
                "select count(service_account_id) from duo_workflows_workflows"
            )?,
            5
        );
        client.batch_execute(&format!(
            "set role {role}; select lockstep.detach_service_accounts('mallory'); reset role;
             update duo_workflows_workflows set service_account_id = null; delete from seen"
        ))?;
    }
    let questions = [
        "select lockstep.resolve_service_account(10, null, 1, null, 'mallory')",
        "select lockstep.explain_service_account(1, 'mallory')",
    ];
    for question in questions {
        client.batch_execute(question)?;
        for role in [&mallory, &other] {
            client.batch_execute(&format!("set role {role}"))?;
            refused(&mut client, question, "42501", "row security")?;
            client.batch_execute("reset role")?;
        }
    }
    assert_eq!(noted(&mut client, name)?, [""; 0]);
    client.batch_execute(&format!(
        "set role {mallory}; alter table duo_workflows_workflows disable row level security; alter table ai_catalog_items disable row level security;
         alter table ai_catalog_item_versions disable row level security; alter table ai_catalog_item_consumers disable row level security;
         alter table projects disable row level security; alter table namespaces disable row level security;
         reset role; select lockstep.attach('mallory'); set role {mallory};
         select mallory.defer('duo_workflows_workflows'); reset role; delete from seen"
    ))?;
    for role in ["none", &mallory, &other] {
        for question in questions {
            client.batch_execute(&format!("set role {role}; {question}; reset role"))?;
        }
    }
    let skipped = "select detail from lockstep.attach('mallory') where feature like 'duo%' and status = 'skipped'";
    let why: String = client.query_one(skipped, &[])?.get(0);
    ensure!(why.starts_with("deferrable constraint"), "{why}");
    assert_eq!(noted(&mut client, name)?, [""; 0]);
    let error = error_of(
        &mut client,
        "select lockstep.fill_service_accounts(1, 5, 'mallory')",
    )?;
    ensure!(error.code().code() == "42501", "{error}");
    assert_eq!(noted(&mut client, name)?, [""; 0]);
    // Her types are not accepted, not even by an existing trigger.
    client.batch_execute(&format!(
        "set role {mallory}; create domain mallory.number as bigint check (mallory.spy('number'));
         alter table duo_workflows_workflows alter ai_catalog_item_id type mallory.number; reset role; delete from seen"
    ))?;
    refused(
        &mut client,
        "insert into duo_workflows_workflows (id, project_id) values (10, 1)",
        "42804",
        "is of type mallory.number, not bigint",
    )?;
    Ok(())
}

#[test]
fn dump_and_restore_keep_the_trigger() -> Result<()> {
    let name = "service_account_dump";
    let mut client = catalog(name)?;
    client.batch_execute("select * from lockstep.attach()")?;
    client.batch_execute(INSERT)?;
    let dump = cluster()?.client_program("pg_dump").arg(name).output()?;
    ensure!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    let restored = format!("{name}_restored");
    let mut client = database::empty(&restored)?;
    let mut psql = cluster()?
        .client_program("psql")
        .args([
            "--no-psqlrc",
            "--quiet",
            "--set",
            "ON_ERROR_STOP=1",
            "--dbname",
            &restored,
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()?;
    std::io::Write::write_all(&mut psql.stdin.take().context("no input")?, &dump.stdout)?;
    ensure!(psql.wait()?.success());
    assert_eq!(number(&mut client, WRONG)?, 0);
    client.batch_execute("delete from duo_workflows_workflows")?;
    client.batch_execute(INSERT)?;
    assert_eq!(number(&mut client, WRONG)?, 0, "the trigger is there");
    let row = client.query_one(
        "select detail from lockstep.attach() where feature ~ '^duo'",
        &[],
    )?;
    assert_eq!(row.get::<_, String>(0), "already attached, nothing changed");
    client.batch_execute("drop extension lockstep")?;
    client
        .batch_execute("insert into duo_workflows_workflows (user_id, project_id) values (1, 1)")?;
    Ok(())
}
