//! Statements on many rows: notes use memory for distinct keys only, and running out of memory is an error.

use std::fs;

use anyhow::{Result, bail, ensure};
use lockstep_tests::cluster::Cluster;
use postgres::Client;
use postgres::error::SqlState;

use crate::concurrency::pid_of;
use crate::writes::{DEFINE, expect_rooms, with_rooms};

/// No foreign key, so that only the column's trigger queues an event per row.
const TABLES: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (room_id bigint, present boolean not null);
create index on guests (room_id);
";

const DATABASE: &str = "memory";

const ROWS: u32 = 2_000_000;

/// How much more a session may use than after its first write. The server itself queues about 25 MB for this many rows.
const MEMORY: u64 = 40 * 1024 * 1024;

/// The address space of a session's process, in bytes.
fn size_of(client: &mut Client) -> Result<u64> {
    let pid = pid_of(client)?;
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    Ok(pages * 4096)
}

#[test]
fn memory_that_runs_out_is_an_error_of_the_statement() -> Result<()> {
    let mut cluster = Cluster::start(
        "memory",
        &[("shared_buffers", "16MB"), ("max_wal_size", "4GB")],
    )?;
    let mut client = cluster.create_database(DATABASE)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(TABLES)?;
    client.batch_execute(DEFINE)?;
    client.batch_execute(
        "insert into rooms (id) select generate_series(1, 6); insert into guests values (1, true)",
    )?;
    cluster.limit_memory(size_of(&mut client)? + MEMORY);
    cluster.restart()?;

    let mut other = cluster.connect(DATABASE)?;
    let mut client = cluster.connect(DATABASE)?;
    // Two keys of many rows need little.
    let few =
        format!("insert into guests select 1 + n % 2, true from generate_series(1, {ROWS}) n");
    expect_rooms(&mut client, &few, &[1, 2])?;
    // As many keys as rows are too many, in any order.
    let many = format!(
        "insert into guests select (n * 7919) % {ROWS}, true from generate_series(1, {ROWS}::bigint) n"
    );
    match client.batch_execute(&many) {
        Ok(()) => bail!("the memory was enough"),
        Err(error) => ensure!(error.code() == Some(&SqlState::OUT_OF_MEMORY), "{error:?}"),
    }
    // The session and everyone else continue.
    expect_rooms(
        &mut client,
        "insert into guests values (3, true)",
        &[1, 2, 3],
    )?;
    expect_rooms(&mut other, "delete from guests where room_id = 3", &[1, 2])
}

/// More keys than a flush handles at once, gained, lost and without a room, in no particular order.
#[test]
fn many_keys_are_flushed_whole() -> Result<()> {
    let mut client = with_rooms("writes_chunks", TABLES)?;
    client.batch_execute("insert into rooms (id) select generate_series(7, 40000)")?;
    let wrong = "select count(*) from rooms r where has_guest is distinct from
                   exists (select from guests g where g.room_id = r.id and g.present)";
    for statement in [
        "insert into guests select (n * 7919) % 45000, n % 3 > 0 from generate_series(0, 44999) n",
        "update guests set present = not present",
        "update guests set room_id = 45000 - room_id",
        "insert into rooms (id) select generate_series(40001, 60000)",
        "delete from guests where room_id % 5 > 0",
        "update guests set present = true",
        "truncate guests",
    ] {
        client.batch_execute(statement)?;
        let wrong: i64 = client.query_one(wrong, &[])?.get(0);
        ensure!(wrong == 0, "{wrong} rooms are wrong after {statement}");
    }
    Ok(())
}
