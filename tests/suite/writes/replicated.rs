//! Changes from logical replication, where only always-firing triggers fire, and no statement triggers.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::{cluster, empty};
use crate::writes::{DEFINE, ROOMS_AND_GUESTS, assert_rooms, expect_rooms};

const PUBLISHER: &str = "writes_publisher";
const SUBSCRIBER: &str = "writes_subscriber";

/// Returns once the subscriber has applied everything up to a marker that is written now.
fn wait_until_applied(publisher: &mut Client, subscriber: &mut Client) -> Result<()> {
    let row = publisher.query_one("insert into markers default values returning id", &[])?;
    let marker: i64 = row.get(0);
    let start = Instant::now();
    while subscriber
        .query_opt("select from markers where id = $1", &[&marker])?
        .is_none()
    {
        ensure!(
            start.elapsed() < PATIENCE,
            "the subscriber does not apply what was published"
        );
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

#[test]
fn subscriber_keeps_the_columns_of_its_own_copy() -> Result<()> {
    let mut publisher = empty(PUBLISHER)?;
    let mut subscriber = empty(SUBSCRIBER)?;
    for client in [&mut publisher, &mut subscriber] {
        client.batch_execute(ROOMS_AND_GUESTS)?;
        client.batch_execute(
            "create table markers (id bigint generated always as identity primary key)",
        )?;
    }
    // The publisher has no lockstep: the cached values are the subscriber's own.
    publisher.batch_execute(
        "insert into rooms (id) select generate_series(1, 6);
         create publication all_tables for table rooms (id), guests, markers",
    )?;
    // On a server that subscribes to itself the slot must exist before: creating it would wait for the subscription's own
    // transaction.
    publisher.execute(
        "select pg_create_logical_replication_slot('writes', 'pgoutput')",
        &[],
    )?;
    subscriber.batch_execute(
        "create extension lockstep;
         select lockstep.add_cache_column('rooms', 'has_guest', 'guests', 'room_id', '{\"present\": true}', fire_always => true);
         insert into rooms (id) select generate_series(1, 6)",
    )?;
    subscriber.batch_execute(&format!(
        "create subscription writes connection 'host={} port={} user={} dbname={PUBLISHER}'
           publication all_tables with (create_slot = false, slot_name = 'writes', copy_data = false)",
        cluster()?.socket().display(),
        lockstep_tests::cluster::PORT,
        lockstep_tests::cluster::SUPERUSER,
    ))?;
    let outcome = apply_all(&mut publisher, &mut subscriber);
    // Drops the slot as well, which would otherwise retain WAL.
    subscriber.batch_execute("drop subscription writes")?;
    outcome
}

fn apply_all(publisher: &mut Client, subscriber: &mut Client) -> Result<()> {
    for (statements, rooms) in [
        (
            "insert into guests values (1, 1, true), (2, 2, false), (3, 3, true)",
            &[1, 3][..],
        ),
        (
            "update guests set present = not present where id < 3",
            &[2, 3],
        ),
        ("update guests set room_id = 4 where id = 3", &[2, 4]),
        (
            "begin; insert into rooms (id) values (7); insert into guests values (7, 7, true); commit",
            &[2, 4, 7],
        ),
        ("update guests set room_id = null where id = 2", &[4, 7]),
        ("delete from guests where id = 7", &[4]),
        (
            "delete from rooms where id = 7; insert into guests values (5, 5, true)",
            &[4, 5],
        ),
        ("truncate guests", &[]),
    ] {
        publisher.batch_execute(statements)?;
        wait_until_applied(publisher, subscriber)?;
        assert_rooms(subscriber, rooms)?;
    }
    Ok(())
}

/// A replica does not check foreign keys: it copies the tables of a subscription one by one, in any order.
#[test]
fn replica_receives_the_source_row_before_its_target() -> Result<()> {
    let mut client = empty("writes_replica_order")?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(ROOMS_AND_GUESTS)?;
    client.batch_execute(&DEFINE.replace("}')", "}', fire_always => true)"))?;
    client.batch_execute("set session_replication_role = replica")?;
    expect_rooms(
        &mut client,
        "insert into guests values (1, 1, true); insert into rooms (id) values (1)",
        &[1],
    )
}
