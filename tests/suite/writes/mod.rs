//! Shared by tests of unusual writes: rooms and their guests, and the oracle.

mod concurrent;
mod ddl;
mod deferred;
mod dropped_column;
mod exchange;
mod foreign_ddl;
mod itself;
mod memory;
mod partition;
mod reference;
mod replicated;
mod settings;
mod statement;
mod trigger;

use anyhow::{Context, Result, ensure};
use postgres::Client;

use crate::database;

/// A target and a source with nothing unusual about them.
pub(crate) const ROOMS_AND_GUESTS: &str = "
create table rooms (id bigint primary key, has_guest boolean);
create table guests (id bigint primary key, room_id bigint references rooms on delete cascade, present boolean not null);
create index on guests (room_id);
";

/// The definition used by all these tests.
pub(crate) const DEFINE: &str = "select lockstep.add_cache_column('rooms', 'has_guest', 'guests', 'room_id', '{\"present\": true}')";

/// A database with tables named rooms and guests, the cache column, and rooms 1 to 6.
pub(crate) fn with_rooms(name: &str, tables: &str) -> Result<Client> {
    let mut client = database::empty(name)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(tables)?;
    client.batch_execute(DEFINE)?;
    client.batch_execute("insert into rooms (id) select generate_series(1, 6)")?;
    Ok(client)
}

/// Runs statements in one transaction, then checks that exactly these rooms have a guest, in fact and in the column.
pub(crate) fn expect_rooms(client: &mut Client, statements: &str, rooms: &[i64]) -> Result<()> {
    client
        .batch_execute(statements)
        .with_context(|| statements.to_owned())?;
    assert_rooms(client, rooms).with_context(|| statements.to_owned())
}

pub(crate) fn assert_rooms(client: &mut Client, rooms: &[i64]) -> Result<()> {
    let row = client.query_one(
        "select coalesce(array_agg(r.id order by r.id) filter (where r.has_guest), '{}'),
                coalesce(array_agg(r.id order by r.id) filter (where exists (
                  select from guests g where g.room_id = r.id and g.present)), '{}'),
                count(*) filter (where r.has_guest is null)
           from rooms r",
        &[],
    )?;
    let (cached, actual): (Vec<i64>, Vec<i64>) = (row.get(0), row.get(1));
    ensure!(
        actual == rooms,
        "the statements did something else: {actual:?} have a guest, not {rooms:?}"
    );
    ensure!(
        cached == actual,
        "the column says {cached:?}, and it is {actual:?}"
    );
    ensure!(row.get::<_, i64>(2) == 0, "a value is null");
    Ok(())
}
