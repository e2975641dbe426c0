//! Writes that are hard to get right. Those that are not mended yet are ignored, and say what is wrong.

use std::thread;

use anyhow::{Result, anyhow};

use crate::concurrency::{pid_of, settle, wait_until_blocked};
use crate::database::cluster;
use crate::writes::{ROOMS_AND_GUESTS, assert_rooms, expect_rooms, with_rooms};

/// UPDATE OF goes by the columns that the statement names, not by those that a trigger before it changes.
#[test]
#[ignore = "open: the column stays true"]
fn before_update_trigger_of_the_host_changes_what_has_to_match() -> Result<()> {
    let mut client = with_rooms("open_before_update", ROOMS_AND_GUESTS)?;
    client.batch_execute(
        "alter table guests add column note text;
         create function expel() returns trigger language plpgsql as $$
         begin
           new.present := false;
           return new;
         end $$;
         create trigger expel before update on guests for each row execute function expel()",
    )?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(&mut client, "update guests set note = 'loud'", &[])
}

/// The flush of the second definition writes the room, upon which a trigger of the host deletes all pets; the first
/// definition must not take its key for gained any more.
#[test]
fn trigger_on_the_target_contradicts_a_flush_of_two_definitions() -> Result<()> {
    let mut client = crate::database::empty("open_two_definitions")?;
    client.batch_execute(
        "create extension lockstep;
         create table rooms (id bigint primary key, has_cat boolean, has_dog boolean);
         create table pets (id bigint primary key, room_id bigint references rooms, kind text not null);
         create index on pets (room_id);
         select lockstep.add_cache_column('rooms', 'has_cat', 'pets', 'room_id', '{\"kind\": \"cat\"}');
         select lockstep.add_cache_column('rooms', 'has_dog', 'pets', 'room_id', '{\"kind\": \"dog\"}');
         insert into rooms values (1);
         create function evict() returns trigger language plpgsql as $$
         begin
           delete from pets where room_id = new.id;
           return null;
         end $$;
         create trigger evict after update on rooms for each row when (new.has_cat or new.has_dog) execute function evict();
         insert into pets values (1, 1, 'cat'), (2, 1, 'dog')",
    )?;
    let row = client.query_one(
        "select has_cat, has_dog, exists (select from pets) from rooms",
        &[],
    )?;
    assert_eq!((row.get(0), row.get(1), row.get(2)), (false, false, false));
    Ok(())
}

/// At the end of the statement the key is there again, so a foreign key without an action is content.
#[test]
#[ignore = "open: the column stays false"]
fn target_is_deleted_and_inserted_again_by_one_statement() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace("on delete cascade", "");
    let mut client = with_rooms("open_replaced_target", &tables)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(
        &mut client,
        "with gone as (delete from rooms where id = 1 returning id) insert into rooms (id) select id from gone",
        &[1],
    )
}

/// Two rooms change their numbers in one statement, and the number that is referred to is there at its end.
#[test]
#[ignore = "open: the columns stay with the rows, not with the keys"]
fn keys_of_targets_are_shifted_by_one_statement() -> Result<()> {
    let tables = ROOMS_AND_GUESTS.replace("on delete cascade", "");
    let mut client = with_rooms("open_shifted_keys", &tables)?;
    expect_rooms(
        &mut client,
        "delete from rooms where id <> 2; insert into guests values (1, 2, true)",
        &[2],
    )?;
    // The row with the higher key lies first, so that it makes way for the other.
    client.batch_execute("vacuum full rooms")?;
    client.batch_execute("insert into rooms (id) values (1)")?;
    expect_rooms(&mut client, "update rooms set id = id + 1", &[2])
}

const PARTITIONED: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (id bigint, room_id bigint references rooms, present boolean not null, region text not null)
  partition by list (region);
create table guests_north partition of guests for values in ('north');
create index on guests (room_id);
";

#[test]
#[ignore = "open: the column stays true, the view says: partitions without triggers"]
fn partition_that_came_later_is_truncated() -> Result<()> {
    let mut client = with_rooms("open_truncated_partition", PARTITIONED)?;
    client.batch_execute("create table guests_east partition of guests for values in ('east')")?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'east')",
        &[1],
    )?;
    expect_rooms(&mut client, "truncate guests_east", &[])
}

#[test]
#[ignore = "open: nothing is noticed, the view says: active"]
fn partitions_with_rows_come_and_go() -> Result<()> {
    let mut client = with_rooms("open_attached_partition", PARTITIONED)?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true, 'north')",
        &[1],
    )?;
    expect_rooms(
        &mut client,
        "alter table guests detach partition guests_north",
        &[],
    )?;
    expect_rooms(
        &mut client,
        "alter table guests attach partition guests_north for values in ('north')",
        &[1],
    )?;
    expect_rooms(&mut client, "drop table guests_north", &[])
}

/// Both have written a source row without a target, in rooms that have nothing to do with each other, and now add their
/// targets: each waits for the other.
#[test]
#[ignore = "open: deadlock, one lock stands for all targets that are absent"]
fn two_sessions_add_each_its_source_row_before_its_target() -> Result<()> {
    let database = "open_absent_targets";
    let tables = ROOMS_AND_GUESTS.replace("references rooms on delete cascade", "");
    let mut one = with_rooms(database, &tables)?;
    let mut two = cluster()?.connect(database)?;
    let mut witness = cluster()?.connect(database)?;
    one.batch_execute("begin; insert into guests values (1, 101, true)")?;
    two.batch_execute("begin; insert into guests values (2, 102, true)")?;
    let pid = pid_of(&mut one)?;
    thread::scope(|scope| -> Result<()> {
        let first =
            scope.spawn(|| one.batch_execute("insert into rooms (id) values (101); commit"));
        settle(&first, &mut witness, pid)?;
        two.batch_execute("insert into rooms (id) values (102); commit")?;
        Ok(first
            .join()
            .map_err(|_| anyhow!("the session panicked"))??)
    })?;
    assert_rooms(&mut witness, &[101, 102])
}

/// Rows that are written straight away are locked partition by partition, those that are looked at first by key.
#[test]
fn rows_of_a_hash_partitioned_target_are_locked_in_one_order() -> Result<()> {
    let database = "open_hash_partitions";
    let mut client = crate::database::empty(database)?;
    client.batch_execute(
        "create extension lockstep;
         create table rooms (id bigint primary key, has_cat boolean, has_dog boolean) partition by hash (id);
         create table rooms_even partition of rooms for values with (modulus 2, remainder 0);
         create table rooms_odd partition of rooms for values with (modulus 2, remainder 1);
         create table pets (id bigserial primary key, room_id bigint, kind text not null);
         create index on pets (room_id);
         select lockstep.add_cache_column('rooms', 'has_cat', 'pets', 'room_id', '{\"kind\": \"cat\"}');
         select lockstep.add_cache_column('rooms', 'has_dog', 'pets', 'room_id', '{\"kind\": \"dog\"}');
         insert into rooms select generate_series(1, 50)",
    )?;
    // The first of the second partition, and one of the first partition with a higher key.
    let row = client.query_one(
        "select l.id, (select min(id) from rooms_even where id > l.id) from rooms_odd l order by l.id limit 1",
        &[],
    )?;
    let (low, high): (i64, i64) = (row.get(0), row.get(1));
    client.execute(
        "insert into pets (room_id, kind) values ($1, 'dog'), ($2, 'dog')",
        &[&low, &high],
    )?;
    let mut holder = cluster()?.connect(database)?;
    let mut loser = cluster()?.connect(database)?;
    let mut gainer = cluster()?.connect(database)?;
    holder.batch_execute("begin")?;
    holder.execute("select from rooms where id = $1 for no key update", &[&low])?;
    let (losing, gaining) = (pid_of(&mut loser)?, pid_of(&mut gainer)?);
    thread::scope(|scope| -> Result<()> {
        let first = scope.spawn(|| loser.batch_execute("delete from pets where kind = 'dog'"));
        wait_until_blocked(&mut client, losing)?;
        let second = scope.spawn(|| {
            gainer.execute(
                "insert into pets (room_id, kind) values ($1, 'cat'), ($2, 'cat')",
                &[&low, &high],
            )
        });
        wait_until_blocked(&mut client, gaining)?;
        holder.batch_execute("commit")?;
        first
            .join()
            .map_err(|_| anyhow!("the session panicked"))??;
        second
            .join()
            .map_err(|_| anyhow!("the session panicked"))??;
        Ok(())
    })
}

/// The function is stable, so it looks with the snapshot of the query that calls it, taken before it waited for the
/// table; that snapshot sees the old rooms beside the guests that are gone. It costs a false alarm, not a wrong value.
#[test]
#[ignore = "open: a row that is right is reported"]
fn drift_is_asked_for_while_a_source_is_truncated() -> Result<()> {
    let database = "open_drift_truncate";
    let mut client = with_rooms(database, ROOMS_AND_GUESTS)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    let mut asker = cluster()?.connect(database)?;
    let mut witness = cluster()?.connect(database)?;
    client.batch_execute("begin; truncate guests")?;
    let pid = pid_of(&mut asker)?;
    let drift = thread::scope(|scope| -> Result<usize> {
        let asking = scope.spawn(|| {
            asker.query(
                "select * from lockstep.cache_column_drift('rooms', 'has_guest')",
                &[],
            )
        });
        wait_until_blocked(&mut witness, pid)?;
        client.batch_execute("commit")?;
        Ok(asking
            .join()
            .map_err(|_| anyhow!("the session panicked"))??
            .len())
    })?;
    assert_eq!(drift, 0);
    Ok(())
}
