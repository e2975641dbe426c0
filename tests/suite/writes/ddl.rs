//! Application DDL that moves rows past the triggers, or that requires other triggers: the state shows it, attach repairs it.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::Client;

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::cluster;
use crate::surface::refusal::refused;
use crate::writes::{ROOMS_AND_GUESTS, assert_rooms, expect_rooms, with_rooms};

/// An application trigger in which every update of a guest makes the guest leave.
const EXPEL: &str = "
alter table guests add column note text;
create function expel() returns trigger language plpgsql as $$
begin
  new.present := false;
  return new;
end $$;
create trigger expel before update on guests for each row execute function expel();
";

fn state(client: &mut Client) -> Result<String> {
    let row = client.query_one("select state from lockstep.cache_columns", &[])?;
    Ok(row.get(0))
}

/// The state is the expected one, and active after lockstep.attach.
fn mend(client: &mut Client, expected: &str) -> Result<()> {
    let found = state(client)?;
    ensure!(found == expected, "the state is {found}, not {expected}");
    client.batch_execute("select lockstep.attach()")?;
    let found = state(client)?;
    ensure!(found == "active", "after attach the state is {found}");
    Ok(())
}

/// Runs DDL, repairs, and checks which rooms have a guest.
fn expect_mended(client: &mut Client, ddl: &str, expected: &str, rooms: &[i64]) -> Result<()> {
    client.batch_execute(ddl).context(ddl.to_owned())?;
    mend(client, expected).context(ddl.to_owned())?;
    assert_rooms(client, rooms).context(ddl.to_owned())
}

const HIDDEN: &str = "updates hidden by a before trigger";
const WITHOUT: &str = "partitions without triggers";
const NOT_LOOKED_AT: &str = "partitions not looked at";

/// UPDATE OF depends on the columns that the statement names, not on those that an earlier trigger changes.
#[test]
fn before_update_trigger_of_the_host_changes_what_has_to_match() -> Result<()> {
    let mut client = with_rooms("ddl_before_update", ROOMS_AND_GUESTS)?;
    client.batch_execute(EXPEL)?;
    mend(&mut client, HIDDEN)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(&mut client, "update guests set note = 'loud'", &[])
}

/// A trigger that was disabled when the column was added counts once it is enabled.
#[test]
fn before_update_trigger_of_the_host_is_enabled() -> Result<()> {
    let mut client = with_rooms("ddl_enabled_trigger", ROOMS_AND_GUESTS)?;
    client.batch_execute(EXPEL)?;
    client.batch_execute(
        "alter table guests disable trigger expel;
         select lockstep.remove_cache_column('rooms', 'has_guest')",
    )?;
    client.batch_execute(crate::writes::DEFINE)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(&mut client, "update guests set note = 'quiet'", &[1])?;
    client.batch_execute("alter table guests enable trigger expel")?;
    mend(&mut client, HIDDEN)?;
    expect_rooms(&mut client, "update guests set note = 'loud'", &[])
}

/// GitLab widens an integer key by filling a new column and swapping the names.
#[test]
fn another_column_takes_the_name_of_the_key() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace("room_id bigint", "room_id int");
    let mut client = with_rooms("ddl_exchanged_names", &tables)?;
    client.batch_execute(
        "insert into guests values (1, 1, true);
         alter table guests add column wide bigint references rooms on delete cascade;
         create index on guests (wide);
         update guests set wide = room_id;
         begin;
         alter table guests rename column room_id to narrow;
         alter table guests rename column wide to room_id;
         commit",
    )?;
    mend(&mut client, "triggers on another column")?;
    expect_rooms(&mut client, "update guests set room_id = 2", &[2])?;
    expect_rooms(&mut client, "update guests set narrow = 3", &[2])
}

/// Another schema takes its name, with tables of the same names.
#[test]
fn schema_is_renamed_under_an_open_session() -> Result<()> {
    let database = "ddl_renamed_schema";
    let mut client = crate::database::empty(database)?;
    let mut other = cluster()?.connect(database)?;
    client
        .batch_execute("create extension lockstep; create schema house; set search_path = house")?;
    client.batch_execute(ROOMS_AND_GUESTS)?;
    client.batch_execute(crate::writes::DEFINE)?;
    client.batch_execute("insert into rooms (id) values (1), (2)")?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    other.batch_execute(
        "alter schema house rename to home;
         create schema house;
         create table house.rooms (id bigint primary key, has_guest boolean);
         create table house.guests (id bigint primary key, room_id bigint, present boolean);
         insert into house.rooms values (2, false)",
    )?;
    assert_eq!(
        state(&mut client)?,
        "another table has the name of the target"
    );
    client.batch_execute("set search_path = home")?;
    expect_rooms(
        &mut client,
        "insert into guests values (2, 2, true)",
        &[1, 2],
    )?;
    expect_rooms(&mut client, "update guests set present = false", &[])
}

/// From then on guests can exist before their room.
#[test]
fn foreign_key_is_dropped() -> Result<()> {
    let mut client = with_rooms("ddl_dropped_key", ROOMS_AND_GUESTS)?;
    client.batch_execute("alter table guests drop constraint guests_room_id_fkey")?;
    mend(&mut client, "triggers missing")?;
    expect_rooms(&mut client, "insert into guests values (1, 7, true)", &[])?;
    expect_rooms(&mut client, "insert into rooms (id) values (7)", &[7])?;
    expect_rooms(&mut client, "update rooms set id = 8 where id = 7", &[])?;
    expect_rooms(&mut client, "update rooms set id = 7 where id = 8", &[7])
}

const PARTITIONED: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (id bigint, room_id bigint references rooms, present boolean not null, region text not null)
  partition by list (region);
create table guests_north partition of guests for values in ('north');
create index on guests (room_id);
";

#[test]
fn partition_that_came_later_is_truncated() -> Result<()> {
    let mut client = with_rooms("ddl_truncated_partition", PARTITIONED)?;
    client.batch_execute("create table guests_east partition of guests for values in ('east')")?;
    mend(&mut client, WITHOUT)?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'east')",
        &[1],
    )?;
    expect_rooms(&mut client, "truncate guests_east", &[])
}

#[test]
fn partitions_with_rows_come_and_go() -> Result<()> {
    let mut client = with_rooms("ddl_attached_partition", PARTITIONED)?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'north')",
        &[1],
    )?;
    let client = &mut client;
    let detach = "alter table guests detach partition guests_north";
    expect_mended(client, detach, NOT_LOOKED_AT, &[])?;
    let attach = "alter table guests attach partition guests_north for values in ('north')";
    expect_mended(client, attach, WITHOUT, &[1])?;
    expect_mended(client, "drop table guests_north", NOT_LOOKED_AT, &[])
}

/// Tables below a partition are attached and detached with it; detached ones keep no trigger.
#[test]
fn partition_with_partitions_comes_and_goes() -> Result<()> {
    let mut client = with_rooms("ddl_nested_partition", PARTITIONED)?;
    let client = &mut client;
    client.batch_execute(
        "create table guests_south (like guests including all) partition by range (id);
         create table guests_south_low partition of guests_south for values from (0) to (100);
         insert into guests_south values (1, 1, true, 'south'), (2, 2, false, 'south')",
    )?;
    let attach = "alter table guests attach partition guests_south for values in ('south')";
    client.batch_execute(&format!("begin; {attach}; rollback"))?;
    assert_eq!(state(client)?, "active");
    expect_mended(client, attach, WITHOUT, &[1])?;
    expect_rooms(
        client,
        "update guests_south_low set present = true",
        &[1, 2],
    )?;
    expect_mended(
        client,
        "alter table guests_south detach partition guests_south_low",
        NOT_LOOKED_AT,
        &[],
    )?;
    client.batch_execute("update guests_south_low set room_id = 3")?;
    assert_rooms(client, &[])?;
    let rest = client.query_one(
        "select count(*) from pg_trigger where tgrelid = 'guests_south_low'::regclass and tgname like 'lockstep%'",
        &[],
    )?;
    assert_eq!(rest.get::<_, i64>(0), 0);
    expect_mended(
        client,
        "alter table guests_south attach partition guests_south_low for values from (0) to (100)",
        WITHOUT,
        &[3],
    )?;
    expect_mended(
        client,
        "alter table guests detach partition guests_south concurrently",
        NOT_LOOKED_AT,
        &[],
    )?;
    expect_mended(client, attach, WITHOUT, &[3])?;
    expect_mended(client, "drop table guests_south", NOT_LOOKED_AT, &[])
}

/// New rows of the partition are noticed even before the state is active again.
#[test]
fn partition_that_nobody_looked_at_keeps_new_rows() -> Result<()> {
    let mut client = with_rooms("ddl_unmended_partition", PARTITIONED)?;
    client.batch_execute("create table guests_east partition of guests for values in ('east')")?;
    let insert = "insert into guests values (1, 1, true, 'east'), (2, 2, true, 'north')";
    expect_rooms(&mut client, insert, &[1, 2])?;
    expect_rooms(&mut client, "delete from guests_east", &[2])
}

#[test]
fn partition_of_a_target_comes_with_rows() -> Result<()> {
    let mut client = with_rooms(
        "ddl_target_partition",
        "create table rooms (id bigint primary key, has_guest boolean) partition by range (id);
         create table rooms_low partition of rooms for values from (0) to (100);
         create table guests (id bigint primary key, room_id bigint, present boolean not null);
         create index on guests (room_id)",
    )?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true), (2, 101, true)",
        &[1],
    )?;
    client.batch_execute(
        "create table rooms_high (id bigint primary key, has_guest boolean);
         insert into rooms_high values (101, null), (102, true), (103, false)",
    )?;
    expect_mended(
        &mut client,
        "alter table rooms attach partition rooms_high for values from (100) to (200)",
        WITHOUT,
        &[1, 101],
    )
}

/// The losing session already has the source open when it waits, and must still see the partition.
#[test]
fn partition_is_looked_at_while_a_session_looks() -> Result<()> {
    let database = "ddl_attach_race";
    let tables = PARTITIONED.replace(" references rooms", "");
    let mut attacher = with_rooms(database, &tables)?;
    attacher.batch_execute(
        "create table guests_south (like guests including all);
         insert into guests_south values (2, 1, true, 'south');
         insert into guests values (1, 1, true, 'north'), (3, 2, true, 'north')",
    )?;
    let mut loser = cluster()?.connect(database)?;
    let mut witness = cluster()?.connect(database)?;
    let pid = pid_of(&mut loser)?;
    // Takes all locks that the losing session will need, and makes all plans.
    loser.batch_execute("begin; update guests set present = false where id = 3; update guests set present = true where id = 3")?;
    attacher.batch_execute(
        "alter table guests attach partition guests_south for values in ('south');
         begin; select lockstep.attach()",
    )?;
    thread::scope(|scope| -> Result<()> {
        let losing = scope.spawn(|| loser.batch_execute("delete from guests where id = 1; commit"));
        wait_until_blocked(&mut witness, pid)?;
        attacher.batch_execute("commit")?;
        Ok(losing
            .join()
            .map_err(|_| anyhow!("the session panicked"))??)
    })?;
    assert_rooms(&mut witness, &[1, 2])
}

/// Its rows would be missed, so a parent is refused; a table that becomes a parent later is shown in the view.
#[test]
fn table_gets_an_inheritance_child() -> Result<()> {
    let mut client = with_rooms("ddl_inheritance", ROOMS_AND_GUESTS)?;
    client.batch_execute("create table day_guests () inherits (guests)")?;
    let row = client.query_one("select state from lockstep.cache_columns", &[])?;
    assert_eq!(
        row.get::<_, String>(0),
        "inheritance children without triggers"
    );
    Ok(())
}

/// A statement on the parent writes the rows of a child and fires the row triggers of the child, but not its statement triggers.
#[test]
fn table_becomes_an_inheritance_child() -> Result<()> {
    let mut client = with_rooms("ddl_inheritance_child", ROOMS_AND_GUESTS)?;
    let client = &mut client;
    client.batch_execute(
        "create table people (room_id bigint, present boolean not null); create table places (has_guest boolean)",
    )?;
    for (table, parent) in [("guests", "people"), ("rooms", "places")] {
        client.batch_execute(&format!("alter table {table} inherit {parent}"))?;
        assert_eq!(
            state(client)?,
            format!("table \"public.{table}\" inherits from another table")
        );
        client.batch_execute("select lockstep.attach()")?;
        ensure!(state(client)?.contains("inherits"), "attach mended {table}");
        // What is written without the parent counts.
        expect_rooms(client, "insert into guests values (1, 1, true)", &[1])?;
        client.batch_execute("select lockstep.remove_cache_column('rooms', 'has_guest')")?;
        refused(
            client,
            crate::writes::DEFINE,
            "0A000",
            "inherits from another table",
        )?;
        client.batch_execute(&format!("alter table {table} no inherit {parent}"))?;
        client.batch_execute(crate::writes::DEFINE)?;
        expect_rooms(
            client,
            "delete from guests; select lockstep.repair_cache_column('rooms', 'has_guest')",
            &[],
        )?;
    }
    Ok(())
}

/// The triggers of a target follow its columns, not their names.
#[test]
fn two_columns_of_the_target_exchange_names() -> Result<()> {
    let mut client = with_rooms("ddl_exchanged_target", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "alter table rooms add column other boolean default false;
         begin;
         alter table rooms rename column has_guest to former;
         alter table rooms rename column other to has_guest;
         commit",
    )?;
    mend(&mut client, "triggers on another column")?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])
}

/// The guard then has to look at updates that do not name the column.
#[test]
fn before_update_trigger_of_the_host_changes_the_column() -> Result<()> {
    let mut client = with_rooms("ddl_before_update_target", ROOMS_AND_GUESTS)?;
    client.batch_execute("select lockstep.remove_cache_column('rooms', 'has_guest')")?;
    client.batch_execute(&crate::writes::DEFINE.replace(
        "'{\"present\": true}')",
        "'{\"present\": true}', guard => true)",
    ))?;
    client.batch_execute(
        &EXPEL
            .replace("guests", "rooms")
            .replace("new.present := false", "new.has_guest := true"),
    )?;
    mend(&mut client, HIDDEN)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    let row = client.query_one("select count(*) from pg_trigger where tgrelid = 'rooms'::regclass and tgname like 'lockstep%' and tgattr::text <> ''", &[])?;
    assert_eq!(row.get::<_, i64>(0), 0);
    Ok(())
}

/// Our triggers are identified by function, not by name.
#[test]
fn trigger_of_the_host_that_has_a_name_of_ours_stays() -> Result<()> {
    let mut client = with_rooms("ddl_name_of_ours", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "create table elsewhere (id bigint);
         create function nothing() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger lockstep_flush after insert on elsewhere execute function nothing();
         alter table guests add column note text;
         select lockstep.remove_cache_column('rooms', 'has_guest')",
    )?;
    let row = client.query_one(
        "select count(*) from pg_trigger where tgrelid = 'elsewhere'::regclass",
        &[],
    )?;
    assert_eq!(row.get::<_, i64>(0), 1);
    Ok(())
}
