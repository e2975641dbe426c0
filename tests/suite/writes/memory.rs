//! Statements on many rows: what they note takes memory for the distinct keys only, and running out of it is an error.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use postgres::Client;
use postgres::error::SqlState;

use crate::concurrency::pid_of;
use crate::database::cluster;
use crate::writes::{expect_rooms, with_rooms};

/// Nobody refers to a room, so that nothing else queues an event a row.
const TABLES: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (room_id bigint, present boolean not null);
create index on guests (room_id);
";

const ROWS: u32 = 3_000_000;

/// Allows the session's process so much more memory than it has. The server itself queues up to 40 MB for so many rows.
fn limit(client: &mut Client, megabytes: u64) -> Result<()> {
    let pid = pid_of(client)?;
    let pages = fs::read_to_string(format!("/proc/{pid}/statm"))?;
    let pages: u64 = pages.split(' ').next().unwrap_or_default().parse()?;
    let most = pages * 4096 + megabytes * 1024 * 1024;
    let status = Command::new("prlimit")
        .arg(format!("--pid={pid}"))
        .arg(format!("--as={most}"))
        .status()
        .context("cannot run prlimit")?;
    ensure!(status.success(), "prlimit: {status}");
    Ok(())
}

#[test]
fn few_keys_of_many_rows_take_little_memory() -> Result<()> {
    let mut client = with_rooms("writes_few_keys", TABLES)?;
    client.batch_execute("insert into guests values (1, true)")?;
    limit(&mut client, 55)?;
    let insert = format!("insert into guests select 1 + n % 2, true from generate_series(1, {ROWS}) n");
    expect_rooms(&mut client, &insert, &[1, 2])
}

#[test]
fn without_memory_for_the_keys_the_statement_fails_alone() -> Result<()> {
    let mut other = with_rooms("writes_many_keys", TABLES)?;
    let mut client = cluster()?.connect("writes_many_keys")?;
    client.batch_execute("insert into guests values (1, true)")?;
    limit(&mut client, 55)?;
    let insert = format!("insert into guests select (n * 7919) % {ROWS}, true from generate_series(1, {ROWS}::bigint) n");
    let error = match client.batch_execute(&insert) {
        Ok(()) => anyhow::bail!("the memory was enough"),
        Err(error) => error,
    };
    ensure!(error.code() == Some(&SqlState::OUT_OF_MEMORY), "{error:?}");
    // The same session goes on, and so does everyone else.
    expect_rooms(&mut client, "insert into guests values (3, true)", &[1, 3])?;
    expect_rooms(&mut other, "delete from guests where room_id = 1", &[3])
}

/// More keys than a flush handles at once, gained, lost and without a room, in the order of nothing.
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
