//! Tables that are dropped, and tables that take over another's name, as in online schema changes.

use anyhow::{Result, ensure};
use lockstep_tests::host::Layout;
use postgres::Client;

use crate::database;
use crate::surface::refusal::error_of;
use crate::writes::{ROOMS_AND_GUESTS, assert_rooms, expect_rooms, with_rooms};

fn state(client: &mut Client) -> Result<String> {
    let row = client.query_one("select state from lockstep.cache_columns", &[])?;
    Ok(row.get(0))
}

fn definitions(client: &mut Client) -> Result<i64> {
    let count = "select count(*) from lockstep_internal.cache_column_definition";
    Ok(client.query_one(count, &[])?.get(0))
}

fn triggers_on(client: &mut Client, table: &str) -> Result<i64> {
    let count = format!(
        "select count(*) from pg_trigger where tgrelid = '{table}'::regclass and tgname like 'lockstep%'"
    );
    Ok(client.query_one(&count, &[])?.get(0))
}

/// Creates a copy of a table with its rows, and swaps the names.
fn exchange(table: &str) -> String {
    format!(
        "create table {table}_new (like {table} including all);
         insert into {table}_new select * from {table};
         begin; alter table {table} rename to {table}_old; alter table {table}_new rename to {table}; commit"
    )
}

#[test]
fn another_table_takes_the_name_of_the_source() -> Result<()> {
    let mut client = with_rooms("exchange_source", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])?;
    client.batch_execute(&exchange("guests"))?;
    assert_eq!(state(client)?, "another table has the name of the source");
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(client)?, "active");
    assert_eq!(triggers_on(client, "guests_old")?, 0);
    expect_rooms(client, "insert into guests values (2, 2, true)", &[1, 2])?;
    expect_rooms(
        client,
        "delete from guests_old; truncate guests_old",
        &[1, 2],
    )?;
    expect_rooms(client, "delete from guests where id = 1", &[2])?;
    client.batch_execute("drop table guests_old")?;
    assert_eq!(state(client)?, "active");
    Ok(())
}

#[test]
fn another_table_takes_the_name_of_the_target() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace(" references rooms on delete cascade", "");
    let mut client = with_rooms("exchange_target", &tables)?;
    let client = &mut client;
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])?;
    client.batch_execute(&exchange("rooms"))?;
    assert_eq!(state(client)?, "another table has the name of the target");
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(client)?, "active");
    assert_eq!(triggers_on(client, "rooms_old")?, 0);
    expect_rooms(client, "insert into guests values (2, 2, true)", &[1, 2])?;
    expect_rooms(
        client,
        "insert into guests values (9, 9, true); insert into rooms (id) values (9)",
        &[1, 2, 9],
    )
}

/// Both at once, with one dropped since, and with a schema change in between.
#[test]
fn both_tables_are_exchanged() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace(" references rooms on delete cascade", "");
    let mut client = with_rooms("exchange_both", &tables)?;
    let client = &mut client;
    client.batch_execute(&exchange("rooms"))?;
    client.batch_execute(&exchange("guests"))?;
    client.batch_execute("drop table guests_old")?;
    assert_eq!(state(client)?, "another table has the name of the target");
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(client)?, "active");
    expect_rooms(client, "insert into guests values (2, 2, true)", &[2])?;
    let mut other = with_rooms("exchange_both_kept", &tables)?;
    let other = &mut other;
    other.batch_execute(&exchange("rooms"))?;
    other.batch_execute(&exchange("guests"))?;
    other.batch_execute("create schema archive; alter table rooms_old set schema archive; alter table guests_old set schema archive")?;
    other.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(other)?, "active");
    expect_rooms(other, "insert into guests values (2, 2, true)", &[2])
}

/// A rename alone is no exchange: the definition stays with its tables.
#[test]
fn renamed_tables_are_kept() -> Result<()> {
    let mut client = with_rooms("exchange_rename", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "alter table rooms rename to r; alter table guests rename to g; insert into g values (1, 1, true)",
    )?;
    assert_eq!(state(client)?, "active");
    client.batch_execute("alter table r rename to rooms; alter table g rename to guests")?;
    assert_rooms(client, &[1])
}

#[test]
fn source_is_written_after_its_target_was_dropped() -> Result<()> {
    let mut client = with_rooms("exchange_dropped_target", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    let mut other = crate::database::cluster()?.connect("exchange_dropped_target")?;
    // Sessions that have the target cached, and sessions that do not.
    for session in [&mut *client, &mut other] {
        session.batch_execute("insert into guests values (1, 1, true); delete from guests")?;
    }
    client.batch_execute("drop table rooms cascade")?;
    let mut fresh = crate::database::cluster()?.connect("exchange_dropped_target")?;
    for session in [&mut *client, &mut other, &mut fresh] {
        session.batch_execute(
            "insert into guests values (1, 1, true); update guests set room_id = 2; delete from guests; truncate guests",
        )?;
    }
    assert_eq!(state(client)?, "target table dropped");
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(definitions(client)?, 0);
    assert_eq!(triggers_on(client, "guests")?, 0);
    Ok(())
}

/// One target of a source is dropped, the other is maintained.
#[test]
fn other_definitions_of_the_source_are_kept() -> Result<()> {
    let mut client = with_rooms("exchange_one_dropped", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "create table floors (id bigint primary key, has_guest boolean);
         select lockstep.add_cache_column('floors', 'has_guest', 'guests', 'id', '{\"present\": true}');
         drop table floors",
    )?;
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])?;
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(definitions(client)?, 1);
    assert_eq!(state(client)?, "active");
    expect_rooms(client, "truncate guests", &[])
}

/// By its former name, with and without the schema.
#[test]
fn definition_of_a_dropped_target_is_removed_by_name() -> Result<()> {
    for (number, name) in ["rooms", "public.rooms", "\"public\".\"rooms\""]
        .into_iter()
        .enumerate()
    {
        let database = format!("exchange_by_name_{number}");
        let mut client = with_rooms(&database, ROOMS_AND_GUESTS)?;
        client.batch_execute("drop table rooms cascade")?;
        let wrong = error_of(
            &mut client,
            "select lockstep.remove_cache_column('elsewhere.rooms', 'has_guest')",
        )?;
        assert_eq!(wrong.code().code(), "42704", "{wrong:?}");
        client.batch_execute(&format!(
            "select lockstep.remove_cache_column('{name}', 'has_guest')"
        ))?;
        assert_eq!(definitions(&mut client)?, 0);
        assert_eq!(triggers_on(&mut client, "guests")?, 0);
        client.batch_execute("insert into guests values (1, 1, true)")?;
    }
    Ok(())
}

/// Other users' tables, views and triggers with our functions do not get in the way.
#[test]
fn attach_waits_for_nobody_elses_table() -> Result<()> {
    let mut client = with_rooms("exchange_nobody", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "create role exchange_mallory; grant create on schema public to exchange_mallory; create table projects (id bigint primary key)",
    )?;
    let mut mallory = crate::database::cluster()?.connect("exchange_nobody")?;
    mallory.batch_execute(
        "set role exchange_mallory;
         create table mine (id bigint primary key, flag boolean, mine_id bigint); create index on mine (mine_id);
         select lockstep.add_cache_column('mine', 'flag', 'mine', 'mine_id', '{\"id\": 1}');
         drop trigger lockstep_changed on mine;
         create view seen as select * from mine;
         create trigger lockstep_flush after insert on seen for each statement execute function lockstep_internal.flush();
         create trigger lockstep_changed after insert on mine for each row execute function lockstep_internal.note_changed('1')",
    )?;
    mallory.batch_execute("begin; lock table mine")?;
    client.batch_execute(
        "set lock_timeout = '10s'; select lockstep.attach(); select lockstep.detach()",
    )?;
    mallory.batch_execute("drop trigger lockstep_changed on mine")?;
    let held = client.query_one(
        "select count(*) from pg_locks where relation in ('rooms'::regclass, 'guests'::regclass)",
        &[],
    )?;
    assert_eq!(held.get::<_, i64>(0), 0);
    Ok(())
}

/// As when a table has grown too large: it becomes a partition of a new one with its name.
#[test]
fn source_becomes_a_partition_of_the_table_that_takes_its_name() -> Result<()> {
    let mut client = with_rooms("exchange_partition", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "alter table rooms add has_absent boolean;
         select lockstep.add_cache_column('rooms', 'has_absent', 'guests', 'room_id', '{\"present\": false}')",
    )?;
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])?;
    client.batch_execute(
        "begin; alter table guests rename to guests_old;
         create table guests (like guests_old including defaults) partition by range (id);
         alter table guests attach partition guests_old for values from (0) to (100);
         create table guests_new partition of guests for values from (100) to (200); commit;
         create index on guests (room_id)",
    )?;
    let states = |client: &mut Client| -> Result<Vec<String>> {
        let rows = client.query("select distinct state from lockstep.cache_columns", &[])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    };
    assert_eq!(
        states(client)?,
        ["another table has the name of the source"]
    );
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(states(client)?, ["active"]);
    expect_rooms(client, "insert into guests values (2, 2, true)", &[1, 2])?;
    expect_rooms(
        client,
        "insert into guests_new values (101, 3, true)",
        &[1, 2, 3],
    )?;
    expect_rooms(
        client,
        "update guests_old set present = false where id = 1",
        &[2, 3],
    )?;
    let absent = "select id from rooms where has_absent";
    assert_eq!(client.query_one(absent, &[])?.get::<_, i64>(0), 1);
    expect_rooms(client, "truncate guests_old", &[3])
}

/// Triggers of a partition that was a source of its own have the names that the whole table's need.
#[test]
fn a_partition_with_a_definition_of_its_own_is_said() -> Result<()> {
    let tables = format!(
        "{ROOMS_AND_GUESTS} create table all_guests (like guests) partition by range (id);"
    );
    let mut client = with_rooms("exchange_own", &tables)?;
    client.batch_execute(
        "alter table all_guests attach partition guests for values from (0) to (100);
         create index on all_guests (room_id); alter table rooms add other boolean",
    )?;
    let add = "select lockstep.add_cache_column('rooms', 'other', 'all_guests', 'room_id', '{\"present\": true}')";
    let error = error_of(&mut client, add)?;
    assert_eq!(error.code().code(), "42710");
    assert_eq!(
        error.message(),
        "trigger \"lockstep_changed\" of partition public.guests is from before it was one"
    );
    client.batch_execute("select lockstep.remove_cache_column('rooms', 'has_guest')")?;
    assert_eq!(triggers_on(&mut client, "guests")?, 0);
    client.batch_execute(add)?;
    Ok(())
}

/// As after a restore into a database whose definitions are still there: the tables are new, their triggers are of the old ones.
#[test]
fn tables_created_again_are_not_left_alone() -> Result<()> {
    let mut client = with_rooms("exchange_again", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    let triggers: String = client
        .query_one(
            "select string_agg(pg_get_triggerdef(oid), '; ') from pg_trigger where tgname ~ '^lockstep' and tgrelid in ('rooms'::regclass, 'guests'::regclass)",
            &[],
        )?
        .get(0);
    client.batch_execute(&format!(
        "drop table rooms, guests; {ROOMS_AND_GUESTS} insert into rooms select generate_series(1, 6), false; {triggers}"
    ))?;
    assert_eq!(state(client)?, "another table has the name of the target");
    for (write, code) in [
        ("insert into guests values (1, 1, true)", "55000"),
        ("update rooms set id = 9 where id = 1", "55000"),
        ("insert into rooms values (9)", "42P01"),
    ] {
        let error = error_of(client, write)?;
        assert_eq!(error.code().code(), code, "{write}: {error}");
    }
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(client)?, "active");
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])
}

/// A table with the name of one that was dropped may belong to somebody else.
#[test]
fn another_role_takes_the_name_of_a_dropped_table() -> Result<()> {
    let mut client = with_rooms("exchange_stranger", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "grant create on schema public to public; create role exchange_owner; create role exchange_stranger;
         alter table rooms owner to exchange_owner; alter table guests owner to exchange_owner;
         drop table rooms cascade; set role exchange_stranger; create table rooms (id bigint primary key, has_guest boolean); set role exchange_owner;
         select lockstep.attach(features => '{feature_flags}'); select lockstep.attach()"
    )?;
    client.batch_execute("reset role")?;
    assert_eq!(state(client)?, "another table has the name of the target");
    assert_eq!(triggers_on(client, "rooms")?, 0);
    client.batch_execute("insert into guests values (1, 1, true)")?;
    Ok(())
}

/// A restore creates indexes last, and may leave tables unlogged.
#[test]
fn tables_created_again_that_do_not_fit_are_skipped() -> Result<()> {
    let mut client = with_rooms("exchange_unfit", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(&format!(
        "drop table rooms, guests; {ROOMS_AND_GUESTS} insert into rooms select generate_series(1, 6), false; alter table guests set unlogged"
    ))?;
    // The others are attached all the same.
    client.batch_execute("select lockstep.attach()")?;
    assert_eq!(state(client)?, "another table has the name of the target");
    client.batch_execute("alter table guests set logged; select lockstep.attach()")?;
    assert_eq!(state(client)?, "active");
    expect_rooms(client, "insert into guests values (1, 1, true)", &[1])
}

/// What attach was asked for keeps its columns, whoever has made tables with the names that these had before.
#[test]
fn a_former_name_is_nobodys() -> Result<()> {
    let mut client = database::with_host("exchange_former", Layout::Narrow)?;
    client.batch_execute(
        "select * from lockstep.attach();
         insert into projects (id, namespace_id) values (1, 1);
         insert into integrations (id, project_id, type_new, category, active) values (1, 1, 'Integrations::ExternalWiki', 'third_party_wiki', true);
         alter schema public rename to gl",
    )?;
    let others = "
create schema NAME;
create table NAME.projects (id bigint primary key, has_external_wiki boolean, has_external_issue_tracker boolean);
create table NAME.integrations (id bigint primary key, project_id bigint references NAME.projects, type_new text, category text, active boolean);
create index on NAME.integrations (project_id)";
    let follows = |client: &mut Client, active: bool| -> Result<()> {
        let query = format!("update gl.integrations set active = {active}");
        client.batch_execute(&query)?;
        let row = client.query_one("select has_external_wiki from gl.projects", &[])?;
        ensure!(
            row.get::<_, bool>(0) == active,
            "the column does not follow"
        );
        Ok(())
    };
    // Once they were attached under their new name, and once they were not.
    client.batch_execute("select * from lockstep.attach('gl')")?;
    client.batch_execute(&others.replace("NAME", "public"))?;
    let attach = "select count(*) from lockstep.attach('gl') where feature like 'projects.%' and detail like 'already attached%'";
    ensure!(client.query_one(attach, &[])?.get::<_, i64>(0) == 2);
    follows(&mut client, false)?;
    client.batch_execute("alter schema gl rename to hers; select * from lockstep.attach('hers'); alter schema hers rename to gl")?;
    client.batch_execute(&others.replace("NAME", "hers"))?;
    ensure!(client.query_one(attach, &[])?.get::<_, i64>(0) == 2);
    follows(&mut client, true)?;
    let states = "select count(*) from lockstep.cache_columns where state = 'active' and target_table = 'gl.projects'::regclass";
    ensure!(client.query_one(states, &[])?.get::<_, i64>(0) == 2);
    Ok(())
}
