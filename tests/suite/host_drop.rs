//! The application continues without lockstep: DROP EXTENSION removes every trigger, and the rest works.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use lockstep_tests::host::{self, Layout};
use postgres::{Client, NoTls};

use crate::database;
use crate::surface::refusal::error_of;

/// Everything in the database that contains the name, except the rows of pg_depend.
const REMAINS: &str = "
select coalesce(string_agg(what, ', '), '') from (
  select 'trigger ' || tgname from pg_trigger where tgname ~ 'lockstep' or tgfoid not in (select oid from pg_proc)
  union all select 'schema ' || nspname from pg_namespace where nspname ~ 'lockstep'
  union all select 'function ' || proname from pg_proc where prosrc ~ 'lockstep' or probin ~ 'lockstep'
  union all select 'relation ' || relname from pg_class where relname ~ 'lockstep|cache_column'
) as remains (what)";

/// Works with every kind of write; the cache columns are no longer maintained.
fn write(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "insert into projects (id, name, namespace_id) values (100, 'after', 1), (101, 'after', 1);
         insert into integrations (project_id, active, category, type_new) values
           (100, true, 'issue_tracker', 'Integrations::Jira'), (101, true, 'common', 'Integrations::ExternalWiki');
         update integrations set active = not active, project_id = 101 where project_id = 100;
         delete from integrations where project_id = 101;
         delete from projects where id in (100, 101);
         truncate integrations cascade",
    )?;
    Ok(())
}

#[test]
fn drop_extension_needs_no_cascade_and_leaves_nothing() -> Result<()> {
    let mut client = database::with_host("host_drop", Layout::Narrow)?;
    host::run(&mut client, host::APPLICATION_TRIGGERS)?;
    client.batch_execute(
        "select * from lockstep.attach(disable_application_triggers => true);
         alter table projects add column has_chat boolean;
         select lockstep.add_cache_column('projects', 'has_chat', 'integrations', 'project_id', '{\"category\": \"chat\"}',
                                          guard => true, fire_always => true)",
    )?;
    write(&mut client)?;
    // Another session has the triggers' plans and an open transaction that has used none of them yet.
    let mut other = database::cluster()?.connect("host_drop")?;
    write(&mut other)?;
    client.batch_execute("drop extension lockstep")?;
    assert_eq!(client.query_one(REMAINS, &[])?.get::<_, String>(0), "");
    write(&mut client)?;
    write(&mut other)?;
    assert_eq!(application_triggers(&mut client)?, ["O"; 7]);
    Ok(())
}

fn application_triggers(client: &mut Client) -> Result<Vec<String>> {
    let enabled =
        "select array_agg(tgenabled::text) from pg_trigger where tgname ~ '^trigger_has_external'";
    Ok(client.query_one(enabled, &[])?.get(0))
}

/// However it is dropped; a user who may not drop it changes nothing, and neither does dropping something else.
#[test]
fn application_triggers_are_enabled_again() -> Result<()> {
    let mut client = database::with_host("host_drop_triggers", Layout::Narrow)?;
    host::run(&mut client, host::APPLICATION_TRIGGERS)?;
    client.batch_execute("create role host_drop_nobody")?;
    for drop in [
        "drop extension lockstep",
        "drop extension if exists lockstep cascade",
        "drop extension if exists nothing, lockstep",
        "set session_replication_role = replica; drop extension lockstep; reset session_replication_role",
    ] {
        client.batch_execute(
            "drop extension if exists lockstep; create extension lockstep;
             select lockstep.attach(disable_application_triggers => true)",
        )?;
        assert_eq!(application_triggers(&mut client)?, ["D"; 7]);
        client.batch_execute("drop extension if exists nothing, nothing_else")?;
        let refused = "set role host_drop_nobody; drop extension lockstep";
        let error = error_of(&mut client, refused)?;
        assert_eq!(error.code().code(), "42501", "{error:?}");
        client.batch_execute("reset role")?;
        assert_eq!(application_triggers(&mut client)?, ["D"; 7]);
        client.batch_execute(drop)?;
        assert_eq!(application_triggers(&mut client)?, ["O"; 7], "{drop}");
    }
    Ok(())
}

/// What will be removed is reported by kind and number, if there is anything.
#[test]
fn drop_extension_says_what_goes() -> Result<()> {
    let mut client = database::with_host("host_drop_told", Layout::Narrow)?;
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let mut config = database::cluster()?.config("host_drop_told");
    config.notice_callback(move |notice| {
        let mut heard = hearing.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(notice.detail().unwrap_or_default().to_owned());
    });
    let mut listener = config.connect(NoTls)?;
    listener.batch_execute("drop extension lockstep")?;
    client.batch_execute(
        "create extension lockstep;
         select * from lockstep.attach();
         select lockstep.set_feature('f', true); select lockstep.enqueue_job('W'), lockstep.enqueue_job('W')",
    )?;
    listener.batch_execute("drop extension lockstep")?;
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(
        *heard,
        ["It has jobs: 2, recorded changes of feature flags: 2."]
    );
    Ok(())
}

/// A user who may not drop it is refused without waiting for the tables.
#[test]
fn nobody_waits_who_may_not_drop() -> Result<()> {
    let mut client = database::with_host("host_drop_wait", Layout::Narrow)?;
    host::run(&mut client, host::APPLICATION_TRIGGERS)?;
    client.batch_execute("select lockstep.attach(disable_application_triggers => true)")?;
    let mut writer = database::cluster()?.connect("host_drop_wait")?;
    writer.batch_execute("begin; lock table integrations in row exclusive mode")?;
    client.batch_execute(
        "create role host_drop_waiter; set role host_drop_waiter; set lock_timeout = '10s'",
    )?;
    let error = error_of(&mut client, "drop extension lockstep")?;
    assert_eq!(error.code().code(), "42501", "{error:?}");
    Ok(())
}

#[test]
fn drop_extension_leaves_nothing_on_partitions() -> Result<()> {
    let mut client = database::empty("host_drop_partitions")?;
    client.batch_execute(
        "create extension lockstep;
         create table target (id bigint primary key, cached boolean) partition by range (id);
         create table target_1 partition of target default;
         create table source (key bigint, active boolean, region text) partition by list (region);
         create table source_eu partition of source for values in ('eu') partition by range (key);
         create table source_eu_1 partition of source_eu default;
         create table source_us partition of source for values in ('us');
         create index on source (key);
         select lockstep.add_cache_column('target', 'cached', 'source', 'key', '{\"active\": true}', guard => true);
         create table source_au partition of source for values in ('au');
         alter table source detach partition source_us;
         insert into target values (1);
         insert into source values (1, true, 'eu'), (1, true, 'au');
         drop extension lockstep",
    )?;
    assert_eq!(client.query_one(REMAINS, &[])?.get::<_, String>(0), "");
    client.batch_execute(
        "insert into source values (1, false, 'eu');
         update source set region = 'au', active = false;
         insert into source_us values (1, true, 'us');
         update target set cached = false;
         truncate source, source_us",
    )?;
    Ok(())
}

/// In the same session, which caches definitions by number: the numbers start again.
#[test]
fn create_again_and_attach_works() -> Result<()> {
    let mut client = database::with_host("host_again", Layout::Narrow)?;
    let mut other = database::cluster()?.connect("host_again")?;
    for round in 1..=3 {
        client.batch_execute("select * from lockstep.attach()")?;
        for session in [&mut client, &mut other] {
            session.batch_execute(
                "insert into projects (id, namespace_id) values (1, 1), (2, 1);
                 insert into integrations (project_id, active, category) values (1, true, 'issue_tracker')",
            )?;
            let row = session.query_one(
                "select array_agg(has_external_issue_tracker order by id) from projects",
                &[],
            )?;
            assert_eq!(row.get::<_, Vec<bool>>(0), [true, false], "round {round}");
            session.batch_execute("delete from projects")?;
        }
        client.batch_execute("drop extension lockstep; create extension lockstep")?;
    }
    Ok(())
}

/// A drop that is rolled back has no effect.
#[test]
fn drop_can_be_rolled_back() -> Result<()> {
    let mut client = database::with_host("host_drop_rollback", Layout::Narrow)?;
    client.batch_execute("select * from lockstep.attach()")?;
    client.batch_execute(
        "begin;
         drop extension lockstep;
         insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (project_id, active, category) values (1, true, 'issue_tracker');
         rollback",
    )?;
    client.batch_execute(
        "insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (project_id, active, category) values (1, true, 'issue_tracker')",
    )?;
    let row = client.query_one("select has_external_issue_tracker from projects", &[])?;
    assert!(row.get::<_, bool>(0));
    Ok(())
}

/// The extension's objects cannot be dropped individually.
#[test]
fn parts_of_the_extension_cannot_be_dropped() -> Result<()> {
    let mut client = database::with_host("host_drop_parts", Layout::Narrow)?;
    client.batch_execute("select * from lockstep.attach()")?;
    for statement in [
        "drop function lockstep_internal.note_changed()",
        "drop function lockstep_internal.flush() cascade",
        "drop table lockstep_internal.cache_column_definition cascade",
        "drop schema lockstep cascade",
    ] {
        let error = error_of(&mut client, statement)?;
        assert_eq!(error.code().code(), "2BP01", "{statement}: {error:?}");
    }
    Ok(())
}

/// PostgreSQL looks at no right to execute when an event trigger fires, so nobody needs one.
#[test]
fn event_triggers_fire_for_those_who_may_not_call_them() -> Result<()> {
    let mut client = database::with_slack("host_drop_others", Layout::Narrow)?;
    let public = "select count(*) from pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
                   where p.prorettype = 'event_trigger'::regtype and p.proname ~ '^before_drop' and a.grantee = 0";
    assert_eq!(client.query_one(public, &[])?.get::<_, i64>(0), 0);
    client.batch_execute("begin; create role host_drop_other; set local role host_drop_other")?;
    for extension in ["lockstep", "lockstep_slack"] {
        client.batch_execute("savepoint here")?;
        let error = error_of(&mut client, &format!("drop extension {extension} cascade"))?;
        assert_eq!(
            error.message(),
            format!("must be owner of extension {extension}")
        );
        client.batch_execute("rollback to here")?;
    }
    client.batch_execute("rollback")?;
    Ok(())
}

/// As after a restore over existing definitions: the tables are new, and the dump carries that the triggers are disabled.
#[test]
fn triggers_of_the_application_are_enabled_on_a_restored_table() -> Result<()> {
    for attaches in [true, false] {
        let name = format!("host_drop_restored_{attaches}");
        let mut client = database::with_host(&name, Layout::Narrow)?;
        host::run(&mut client, host::APPLICATION_TRIGGERS)?;
        client
            .batch_execute("select * from lockstep.attach(disable_application_triggers => true)")?;
        assert_eq!(application_triggers(&mut client)?, ["D"; 7]);
        let triggers: String = client
            .query_one(
                "select string_agg(pg_get_triggerdef(oid) || '; alter table integrations disable trigger ' || tgname, '; ')
                   from pg_trigger where tgname ~ '^trigger_has_external'",
                &[],
            )?
            .get(0);
        client.batch_execute(&format!(
            "create table again (like integrations including all); drop table integrations cascade;
             alter table again rename to integrations; {triggers}"
        ))?;
        if attaches {
            client.batch_execute("select * from lockstep.attach()")?;
        }
        assert_eq!(application_triggers(&mut client)?, ["D"; 7]);
        client.batch_execute("select * from lockstep.detach()")?;
        assert_eq!(application_triggers(&mut client)?, ["O"; 7], "{attaches}");
    }
    Ok(())
}
