//! A partitioned source: written through its root, through a partition, and between partitions.

use anyhow::Result;
use postgres::Client;

use crate::surface::refusal::{error_of, refused};
use crate::writes::{DEFINE, expect_rooms, with_rooms};

const PARTITIONED: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (id bigint, room_id bigint references rooms, present boolean not null, region text not null)
  partition by list (region);
create table guests_north partition of guests for values in ('north');
create table guests_south partition of guests for values in ('south') partition by range (id);
create table guests_south_low partition of guests_south for values from (0) to (100);
create table guests_south_high partition of guests_south for values from (100) to (200);
create index on guests (room_id);
";

fn partitioned(name: &str) -> Result<Client> {
    with_rooms(name, PARTITIONED)
}

#[test]
fn partitions_are_written_directly() -> Result<()> {
    let mut client = partitioned("writes_partition_direct")?;
    expect_rooms(
        &mut client,
        "insert into guests_north values (1, 1, true, 'north')",
        &[1],
    )?;
    expect_rooms(
        &mut client,
        "insert into guests_south values (2, 2, true, 'south')",
        &[1, 2],
    )?;
    expect_rooms(
        &mut client,
        "insert into guests_south_high values (150, 3, true, 'south')",
        &[1, 2, 3],
    )?;
    expect_rooms(
        &mut client,
        "update guests_south_low set room_id = 4",
        &[1, 3, 4],
    )?;
    expect_rooms(
        &mut client,
        "update guests_south set present = false where id = 150",
        &[1, 4],
    )?;
    expect_rooms(&mut client, "delete from guests_north", &[4])?;
    expect_rooms(&mut client, "truncate guests_south_low", &[])
}

/// Neither the key nor the matched columns are updated, and still rows are deleted and inserted.
#[test]
fn row_moves_to_another_partition_by_an_update_of_another_column() -> Result<()> {
    let mut client = partitioned("writes_partition_move")?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'north'), (2, 2, true, 'south'), (3, 3, false, 'south')",
        &[1, 2],
    )?;
    expect_rooms(
        &mut client,
        "update guests set region = 'south' where id = 1",
        &[1, 2],
    )?;
    expect_rooms(
        &mut client,
        "update guests_south set id = 150 where id = 2",
        &[1, 2],
    )?;
    expect_rooms(
        &mut client,
        "update guests set region = 'north', room_id = 5 where id = 1",
        &[2, 5],
    )?;
    expect_rooms(
        &mut client,
        "update guests set region = 'north', present = not present where id in (3, 150)",
        &[3, 5],
    )
}

/// ATTACH and CREATE ... PARTITION OF create row triggers, but no statement triggers.
#[test]
fn partition_that_came_later_is_written() -> Result<()> {
    let mut client = partitioned("writes_partition_later")?;
    client.batch_execute("create table guests_east partition of guests for values in ('east')")?;
    expect_rooms(
        &mut client,
        "insert into guests_east values (1, 1, true, 'east')",
        &[1],
    )?;
    expect_rooms(
        &mut client,
        "insert into guests values (2, 2, true, 'east'), (3, 3, true, 'north')",
        &[1, 2, 3],
    )?;
    expect_rooms(
        &mut client,
        "update guests set region = 'north' where id = 1",
        &[1, 2, 3],
    )?;
    expect_rooms(
        &mut client,
        "update guests set region = 'east', room_id = 4 where id = 3",
        &[1, 2, 4],
    )?;
    expect_rooms(&mut client, "update guests_east set present = false", &[1])?;
    expect_rooms(
        &mut client,
        "begin; savepoint here; update guests_east set present = true; rollback to here;
         update guests_east set room_id = 5, present = true where id = 2; commit",
        &[1, 5],
    )?;
    expect_rooms(&mut client, "delete from guests_east", &[1])?;
    expect_rooms(
        &mut client,
        "insert into guests_east values (6, 6, true, 'east'); truncate guests",
        &[],
    )
}

/// A trigger of the application with a name of ours, on a partition alone: the call says so before it changes anything.
#[test]
fn a_partition_has_a_trigger_with_a_name_of_ours() -> Result<()> {
    let mut client = partitioned("writes_partition_name")?;
    client.batch_execute(
        "drop trigger lockstep_changed on guests;
         create function nothing() returns trigger language plpgsql as 'begin return null; end';
         create trigger lockstep_changed after insert on guests_south_low for each row execute function nothing()",
    )?;
    let says =
        "trigger \"lockstep_changed\" of table public.guests_south_low does not belong to lockstep";
    let row = client.query_one(
        "select status, detail from lockstep.attach() where feature = 'rooms.has_guest'",
        &[],
    )?;
    assert_eq!((row.get(0), row.get(1)), ("skipped", says));
    client.batch_execute("alter trigger lockstep_changed on guests_south_low rename to other; select lockstep.attach()")?;
    expect_rooms(
        &mut client,
        "insert into guests_south_low values (2, 2, true, 'south')",
        &[2],
    )
}

/// Rows that are elsewhere, or gone after a crash, change without any trigger here.
#[test]
fn partitions_that_cannot_be_maintained_show_in_the_state() -> Result<()> {
    let tables = PARTITIONED.replace(" references rooms", "");
    let mut client = with_rooms("writes_partition_storage", &tables)?;
    client.batch_execute(
        "create foreign data wrapper nowhere; create server nowhere foreign data wrapper nowhere;
         create foreign table guests_far (id bigint, room_id bigint, present boolean not null, region text not null) server nowhere",
    )?;
    let state = |client: &mut Client| -> Result<String> {
        let row = client.query_one("select state from lockstep.cache_columns", &[])?;
        Ok(row.get(0))
    };
    for (change, expected, undo) in [
        (
            "alter table guests attach partition guests_far for values in ('far')",
            "partition \"public.guests_far\" is a foreign table",
            "alter table guests detach partition guests_far",
        ),
        (
            "alter table guests_south_low set unlogged",
            "unlogged table \"public.guests_south_low\" cannot be the source of a cache column",
            "alter table guests_south_low set logged",
        ),
    ] {
        client.batch_execute(change)?;
        assert_eq!(state(&mut client)?, expected);
        // It skips this column and does not fail for the others.
        client.batch_execute("select lockstep.attach()")?;
        assert_eq!(state(&mut client)?, expected);
        // The other partitions are maintained as before.
        client.batch_execute("insert into guests_north values (1, 1, true, 'north')")?;
        let kept = "select has_guest from rooms where id = 1";
        assert!(client.query_one(kept, &[])?.get::<_, bool>(0), "{change}");
        let error = error_of(
            &mut client,
            &format!("begin; select lockstep.remove_cache_column('rooms', 'has_guest'); {DEFINE}"),
        )?;
        assert_eq!(error.code().code(), "0A000", "{change}: {error}");
        client.batch_execute(&format!(
            "rollback; {undo}; delete from guests; select lockstep.attach()"
        ))?;
        assert_eq!(state(&mut client)?, "active");
    }
    Ok(())
}

/// What is said of one partition keeps nothing from the others.
#[test]
fn triggers_are_repaired_beside_an_unlogged_partition() -> Result<()> {
    let tables = PARTITIONED.replace(" references rooms", "");
    let mut client = with_rooms("writes_partition_unlogged", &tables)?;
    client.batch_execute(
        "alter table guests disable trigger user; alter table guests_south_low set unlogged",
    )?;
    client.batch_execute("select lockstep.attach()")?;
    let state = "select state from lockstep.cache_columns";
    assert_eq!(
        client.query_one(state, &[])?.get::<_, String>(0),
        "unlogged table \"public.guests_south_low\" cannot be the source of a cache column"
    );
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'north')",
        &[1],
    )
}

/// PostgreSQL creates the triggers of a partitioned table on its partitions too, which then must not be another role's.
#[test]
fn partition_of_another_role_is_refused_and_told() -> Result<()> {
    const WHY: &str = "belongs to another role";
    let mut client = partitioned("writes_partition_owner")?;
    let client = &mut client;
    client.batch_execute(
        "create role partition_owner; create role partition_other; grant create on schema public to partition_owner;
         alter table rooms owner to partition_owner; alter table guests owner to partition_owner;
         alter table guests_north owner to partition_owner; alter table guests_south owner to partition_owner;
         alter table guests_south_low owner to partition_owner; alter table guests_south_high owner to partition_owner;
         alter table rooms add has_absent boolean;
         select lockstep.add_cache_column('rooms', 'has_absent', 'guests', 'room_id', '{\"present\": false}');
         alter table guests_south_low owner to partition_other",
    )?;
    let states = "select string_agg(distinct state, ', ') from lockstep.cache_columns";
    let state: String = client.query_one(states, &[])?.get(0);
    assert_eq!(
        state,
        "partition \"public.guests_south_low\" belongs to another role"
    );
    let skipped = "select count(*) from lockstep.attach() where status = 'skipped' and detail like '%belongs to another role'";
    client.batch_execute("set role partition_owner")?;
    assert_eq!(client.query_one(skipped, &[])?.get::<_, i64>(0), 2);
    client.batch_execute("reset role")?;
    expect_rooms(
        client,
        "insert into guests values (1, 1, true, 'south')",
        &[1],
    )?;
    let remove = |column: &str| format!("select lockstep.remove_cache_column('rooms', '{column}')");
    for role in ["reset role", "set role partition_owner"] {
        client.batch_execute(role)?;
        let error = refused(client, &remove("has_absent"), "42501", WHY)?;
        let hint = "alter table public.guests_south_low owner to partition_owner";
        assert!(
            error.hint().is_some_and(|it| it.contains(hint)),
            "{error:?}"
        );
    }
    client.batch_execute("reset role; alter table guests_south_low owner to partition_owner")?;
    client.batch_execute(&remove("has_absent"))?;
    client.batch_execute("alter table guests_south_low owner to partition_other")?;
    // The last one takes all triggers with it.
    client.batch_execute(&remove("has_guest"))?;
    refused(client, DEFINE, "42501", WHY)?;
    // A role that has the rights of the other may.
    client.batch_execute("grant partition_other to partition_owner")?;
    client.batch_execute(DEFINE)?;
    expect_rooms(
        client,
        "insert into guests values (2, 2, true, 'south')",
        &[1, 2],
    )?;
    client.batch_execute("drop owned by partition_owner, partition_other; drop role partition_owner, partition_other")?;
    Ok(())
}
