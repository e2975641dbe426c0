//! Sessions that meet where no row can be locked, or that could lock rows in different orders.

use std::thread;

use anyhow::{Result, anyhow};

use crate::concurrency::{pid_of, settle, wait_until_blocked};
use crate::database::cluster;
use crate::writes::{ROOMS_AND_GUESTS, assert_rooms, expect_rooms, with_rooms};

/// Both have written a source row without a target, in unrelated rooms, and now add their targets: each waits for the other.
#[test]
fn two_sessions_add_each_its_source_row_before_its_target() -> Result<()> {
    let database = "concurrent_absent_targets";
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

/// Rows that are written directly are locked partition by partition, rows that are checked first by key.
#[test]
fn rows_of_a_hash_partitioned_target_are_locked_in_one_order() -> Result<()> {
    let database = "concurrent_hash_partitions";
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
    // The first row of the second partition, and one of the first partition with a higher key.
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

/// The function is stable, so it uses the snapshot of its calling query, taken before it waited for the table; that snapshot sees
/// the old rooms without the truncated guests. The result is a false alarm, not a wrong value.
#[test]
fn drift_is_asked_for_while_a_source_is_truncated() -> Result<()> {
    let database = "concurrent_drift_truncate";
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
