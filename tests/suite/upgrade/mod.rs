//! ALTER EXTENSION lockstep UPDATE: from every released version, with definitions, triggers and data in place.
//!
//! A release freezes its install script in `tests/upgrade`, once, when its version is tagged, together with what it installs on
//! the application's tables (`attached--X.Y.Z.sql`). From then on the version in Cargo.toml changes with the first change of the
//! schema, which needs an update script. These tests install each frozen script, use the database with the current library,
//! update, and compare with a fresh installation.

mod schema;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::database::{self, cluster};
use crate::surface::refusal::error_of;
use crate::upgrade::schema::{describe, differences};

const DRIFT: &str = "select count(*) from lockstep.cache_columns c, lockstep.cache_column_drift(c.target_table, c.target_column)";

/// The private installation's directory of extension scripts.
fn scripts(client: &mut Client) -> Result<PathBuf> {
    let row = client.query_one("select setting from pg_config where name = 'SHAREDIR'", &[])?;
    let directory = PathBuf::from(row.get::<_, String>(0)).join("extension");
    ensure!(
        directory.starts_with(lockstep_tests::target()) || directory.starts_with("/var/tmp"),
        "the server does not run from a private installation: {}",
        directory.display()
    );
    Ok(directory)
}

fn current_version(client: &mut Client) -> Result<String> {
    let query = "select default_version from pg_available_extensions where name = 'lockstep'";
    Ok(client.query_one(query, &[])?.get(0))
}

fn install_script(version: &str) -> String {
    format!("lockstep--{version}.sql")
}

/// A database with the application's tables and a given version of the extension, attached, with rows.
fn in_use(name: &str, version: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    host::create(&mut client, Layout::Narrow)?;
    client.batch_execute(&format!(
        "create extension lockstep version '{version}';
         select * from lockstep.attach();
         alter table projects add column has_chat boolean;
         select lockstep.add_cache_column('projects', 'has_chat', 'integrations', 'project_id', '{{\"category\": \"chat\"}}', guard => true);
         insert into projects (id, namespace_id) select generate_series(1, 9), 1"
    ))?;
    write(&mut client)?;
    Ok(client)
}

/// Writes that affect each definition; afterwards there must be no drift.
fn write(client: &mut Client) -> Result<()> {
    client.batch_execute(
        "insert into integrations (project_id, active, category, type_new)
           select n, true, case n % 3 when 0 then 'issue_tracker' when 1 then 'chat' else 'common' end, 'Integrations::ExternalWiki'
           from generate_series(1, 9) n on conflict do nothing;
         update integrations set project_id = null, group_id = 1 where project_id = 1;
         update integrations set active = not active where project_id in (2, 3, 5);
         update integrations set category = 'chat' where project_id = 6;
         delete from integrations where project_id in (7, 8) or group_id = 1;
         update projects set has_chat = not has_chat",
    )?;
    ensure!(client.query_one(DRIFT, &[])?.get::<_, i64>(0) == 0);
    let row = client.query_one(
        "select bool_or(has_chat) and bool_or(has_external_wiki) from projects",
        &[],
    )?;
    ensure!(row.get::<_, bool>(0), "nothing has been written");
    Ok(())
}

/// A made-up next version changes what a real one may: it adds a column, a function and a constraint, replaces functions and the
/// view, and changes rights. A session in the middle of a transaction continues through the update.
#[test]
fn update_under_open_sessions_changes_no_value() -> Result<()> {
    let mut witness = cluster()?.connect("postgres")?;
    let directory = scripts(&mut witness)?;
    let current = current_version(&mut witness)?;
    let next = format!("{current}.next");
    let update = "
        create function lockstep.added(n integer) returns integer language sql immutable set search_path = pg_catalog as 'select n + 1';
        comment on function lockstep.added(integer) is 'made up';
        create or replace function lockstep_internal.flush() returns trigger language c as 'MODULE_PATHNAME', 'flush_noted_wrapper';
        create or replace function lockstep_internal.note_changed() returns trigger language c as 'MODULE_PATHNAME', 'note_changed_wrapper';
        create table lockstep.added_table (id integer constraint added_table_pkey primary key, note text not null default '');
        select pg_catalog.pg_extension_config_dump('lockstep.added_table', '');
        revoke execute on function lockstep.repair_cache_column(regclass, text, bigint) from public;
        comment on view lockstep.cache_columns is 'made up too';";
    let installed = fs::read_to_string(directory.join(install_script(&current)))?;
    fs::write(
        directory.join(format!("lockstep--{current}--{next}.sql")),
        update,
    )?;
    fs::write(directory.join(install_script(&next)), installed + update)?;

    let mut client = in_use("upgrade_open", &current)?;
    let mut other = cluster()?.connect("upgrade_open")?;
    write(&mut other)?;
    other.batch_execute(
        "begin; insert into integrations (project_id, active, category) values (9, true, 'chat')",
    )?;
    // It does not wait for writers of the application's tables; otherwise this would report it instead of hanging.
    client.batch_execute(&format!(
        "set lock_timeout = '5s'; alter extension lockstep update to '{next}'; reset lock_timeout"
    ))?;
    other.batch_execute(
        "update integrations set project_id = 1 where project_id = 9 and category = 'chat'; commit",
    )?;
    for session in [&mut client, &mut other] {
        write(session)?;
    }
    let row = client.query_one(
        "select extversion from pg_extension where extname = 'lockstep'",
        &[],
    )?;
    assert_eq!(row.get::<_, String>(0), next);

    let mut fresh = database::empty("upgrade_open_fresh")?;
    fresh.batch_execute(&format!("create extension lockstep version '{next}'"))?;
    let (fresh, upgraded) = (describe(&mut fresh)?, describe(&mut client)?);
    assert!(
        differences(&fresh, &upgraded).is_empty(),
        "{:#?}",
        differences(&fresh, &upgraded)
    );
    assert!(fresh.contains("added_table"), "{fresh}");
    Ok(())
}

/// The comparison detects every kind of difference; otherwise the tests above and below would prove little.
#[test]
fn comparison_sees_every_kind_of_difference() -> Result<()> {
    let mut client = database::empty("upgrade_comparison")?;
    client.batch_execute("create extension lockstep")?;
    let before = describe(&mut client)?;
    assert!(before.lines().count() > 50, "{before}");
    for change in [
        "alter function lockstep.attach(text, boolean, text[], boolean) volatile parallel safe",
        "alter function lockstep.attach(text, boolean, text[], boolean) reset search_path",
        "alter function lockstep.attach(text, boolean, text[], boolean) strict",
        "alter function lockstep_internal.flush() security definer",
        "alter function lockstep_internal.flush() owner to pg_monitor",
        "comment on function lockstep_internal.flush() is 'something else'",
        "comment on column lockstep_internal.cache_column_definition.match is 'something else'",
        "revoke execute on function lockstep.detach(text) from public",
        "grant insert on lockstep_internal.cache_column_definition to pg_monitor",
        "grant update (guard) on lockstep_internal.cache_column_definition to pg_monitor",
        "revoke usage on schema lockstep from public",
        "alter table lockstep_internal.cache_column_definition add column extra text",
        "alter table lockstep_internal.cache_column_definition alter column guard drop not null",
        "alter table lockstep_internal.cache_column_definition alter column guard set default true",
        "alter table lockstep_internal.cache_column_definition alter column id set generated always",
        "alter table lockstep_internal.cache_column_definition alter column created_at type timestamp",
        "alter table lockstep_internal.cache_column_definition rename constraint cache_column_definition_pkey to pkey",
        "alter table lockstep_internal.cache_column_definition drop constraint cache_column_definition_match_check",
        "create index on lockstep_internal.cache_column_definition (source_table)",
        "create or replace view lockstep.cache_columns as
           select id, target_table, target_column, source_table, key_column, match, guard, fire_always, origin, 'active'::text as state
           from lockstep_internal.cache_column_definition",
        "create function lockstep.extra() returns integer language sql as 'select 1'",
        "create type lockstep.extra as enum ()",
        "update pg_extension set extconfig = null, extcondition = null where extname = 'lockstep'",
        "alter extension lockstep drop function lockstep_internal.flush()",
        "alter sequence lockstep_internal.cache_column_definition_id_seq cycle",
    ] {
        client.batch_execute(&format!("begin; {change}"))?;
        let after = describe(&mut client).with_context(|| change.to_owned())?;
        client.batch_execute("rollback")?;
        assert!(!differences(&before, &after).is_empty(), "unseen: {change}");
    }
    assert_eq!(describe(&mut client)?, before);
    Ok(())
}

/// Each released version, with the current library, updated, and compared with a fresh installation.
#[test]
fn every_released_version_can_be_updated() -> Result<()> {
    let mut witness = cluster()?.connect("postgres")?;
    let directory = scripts(&mut witness)?;
    let current = current_version(&mut witness)?;
    let mut fresh = database::empty("upgrade_fresh")?;
    fresh.batch_execute("create extension lockstep")?;
    let fresh = describe(&mut fresh)?;

    let frozen = lockstep_tests::root().join("tests/upgrade");
    let released = released(&frozen)?;
    ensure!(!released.is_empty(), "no version is released");
    for version in released {
        ensure!(
            version != current,
            "{version} is released: what changes its schema needs a version of its own, and an update script"
        );
        provide(&version, &directory)?;
        let name = format!("upgrade_{}", version.replace('.', "_"));
        let mut client = database::empty(&name)?;
        host::create(&mut client, Layout::Narrow)?;
        client.batch_execute(&format!(
            "create extension lockstep version '{version}'; alter table projects add column has_chat boolean;
             insert into projects (id, namespace_id, has_chat, has_external_wiki, has_external_issue_tracker)
               select generate_series(1, 9), 1, false, false, false"
        ))?;
        client.batch_execute(&fs::read_to_string(
            frozen.join(format!("attached--{version}.sql")),
        )?)?;
        let mut other = cluster()?.connect(&name)?;
        // The library was replaced first: nothing is lost, and the error says what to do.
        let insert =
            "insert into integrations (project_id, active, category) values (1, true, 'chat')";
        let error = error_of(&mut other, insert)?;
        assert_eq!(error.code().code(), "55000", "{error}");
        ensure!(
            error
                .hint()
                .is_some_and(|hint| hint.contains("alter extension lockstep update")),
            "{error:?}"
        );
        // The update waits for a writer, which never sees half of it.
        other.batch_execute("begin; insert into integrations (project_id, active, category) values (2, true, 'common')")?;
        let refused = error_of(
            &mut client,
            "set lock_timeout = '100ms'; alter extension lockstep update",
        )?;
        assert_eq!(refused.code().code(), "55P03", "{refused}");
        other.batch_execute("commit")?;
        client.batch_execute("reset lock_timeout; alter extension lockstep update")?;
        for session in [&mut client, &mut other] {
            write(session).with_context(|| format!("after the update from {version}"))?;
        }
        let row = client.query_one(
            "select extversion, (select string_agg(c.target_column || ' ' || c.state, ', ' order by c.id) from lockstep.cache_columns c)
               from pg_extension where extname = 'lockstep'",
            &[],
        )?;
        assert_eq!(row.get::<_, String>(0), current);
        assert_eq!(
            row.get::<_, String>(1),
            "has_external_wiki active, has_external_issue_tracker active, has_chat active"
        );
        let differences = differences(&fresh, &describe(&mut client)?);
        assert!(
            differences.is_empty(),
            "updated from {version}: {differences:#?}"
        );
        client.batch_execute(
            "alter table projects add column has_ci boolean; select lockstep.add_cache_column('projects', 'has_ci', 'integrations', 'project_id', '{\"category\": \"ci\"}')",
        )?;
        client.batch_execute("create extension lockstep_slack; select * from lockstep.attach(); select * from lockstep.detach(); drop extension lockstep cascade")?;
    }
    Ok(())
}

/// Puts a frozen script where the server finds it, whole at every moment: tests run side by side.
fn provide(version: &str, directory: &Path) -> Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let script = install_script(version);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let copy = directory.join(format!("{script}.{number}"));
    fs::copy(
        lockstep_tests::root().join("tests/upgrade").join(&script),
        &copy,
    )?;
    Ok(fs::rename(copy, directory.join(script))?)
}

/// 0.1.0 accepted what this version does not, and its definitions share the triggers of a source with others.
#[test]
fn what_cannot_be_kept_keeps_nothing_else_from_working() -> Result<()> {
    let mut client = database::empty("upgrade_unfit")?;
    let directory = scripts(&mut client)?;
    provide("0.1.0", &directory)?;
    client.batch_execute(
        "create extension lockstep version '0.1.0';
         create domain word as text;
         create table t (id bigint primary key, has_a boolean, has_b boolean);
         create table s (t_id bigint references t, kind text, named word); create index on s (t_id);
         create table gone (id bigint primary key, has_c boolean);
         insert into lockstep.cache_column_definition (id, target_table, target_column, source_table, key_column, match)
         values (1, 't', 'has_a', 's', 't_id', '{\"kind\": \"a\"}'), (2, 't', 'has_b', 's', 't_id', '{\"named\": \"b\"}'),
                (3, 'gone', 'has_c', 's', 't_id', '{\"kind\": \"c\"}');
         insert into t values (1, false, false);
         drop table gone",
    )?;
    client.batch_execute("alter extension lockstep update")?;
    client.batch_execute("insert into s values (1, 'a', 'b')")?;
    let row = client.query_one(
        "select (select has_a from t), (select string_agg(id || ' ' || state, ', ' order by id) from lockstep.cache_columns)",
        &[],
    )?;
    assert!(row.get::<_, bool>(0));
    assert_eq!(row.get::<_, String>(1), "1 active");
    Ok(())
}

/// The table's owner may not create the triggers there, whoever updates.
#[test]
fn partition_of_another_role_does_not_stop_the_update() -> Result<()> {
    let mut client = database::empty("upgrade_partition")?;
    let directory = scripts(&mut client)?;
    provide("0.1.0", &directory)?;
    client.batch_execute(
        "create role upgrade_partition_owner; create role upgrade_partition_other;
         create extension lockstep version '0.1.0';
         create table t (id bigint primary key, has_a boolean) partition by range (id);
         create table part partition of t default;
         create table s (t_id bigint, kind text); create index on s (t_id);
         alter table t owner to upgrade_partition_owner; alter table s owner to upgrade_partition_owner; alter table part owner to upgrade_partition_other;
         insert into lockstep.cache_column_definition (id, target_table, target_column, source_table, key_column, match)
         values (1, 't', 'has_a', 's', 't_id', '{\"kind\": \"a\"}')",
    )?;
    client.batch_execute("alter extension lockstep update; insert into s values (1, 'a')")?;
    let state = "select state from lockstep.cache_columns";
    assert_eq!(
        client.query_one(state, &[])?.get::<_, String>(0),
        "partition \"public.part\" belongs to another role"
    );
    client.batch_execute(
        "alter table part owner to upgrade_partition_owner; set role upgrade_partition_owner; select lockstep.attach(); reset role",
    )?;
    assert_eq!(client.query_one(state, &[])?.get::<_, String>(0), "active");
    client.batch_execute(
        "drop table t, s; drop role upgrade_partition_owner, upgrade_partition_other",
    )?;
    Ok(())
}

/// The versions whose install scripts are frozen.
fn released(frozen: &Path) -> Result<Vec<String>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(frozen)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let version = file.strip_prefix("lockstep--");
        versions.extend(version.and_then(|it| it.strip_suffix(".sql").map(str::to_owned)));
    }
    versions.sort();
    Ok(versions)
}
