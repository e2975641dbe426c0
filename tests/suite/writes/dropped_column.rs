//! A source column that a definition needs is gone: the definition rests, and the others of the source are maintained.

use anyhow::{Result, ensure};
use postgres::Client;

use crate::surface::refusal::refused;
use crate::writes::{ROOMS_AND_GUESTS, expect_rooms, with_rooms};

/// PostgreSQL drops the triggers of a source with a column that they name, those for other definitions as well. To install them for a
/// definition that has lost its column would make every write fail.
#[test]
fn source_column_of_one_definition_is_dropped() -> Result<()> {
    let mut client = with_rooms("ddl_dropped_column", ROOMS_AND_GUESTS)?;
    let states = |client: &mut Client, guest: &str, owner: &str| -> Result<()> {
        let of = "select array_agg(state order by target_column) from lockstep.cache_columns";
        let found: Vec<String> = client.query_one(of, &[])?.get(0);
        ensure!(found == [guest, owner], "{found:?}");
        Ok(())
    };
    let (gone, other) = ("source column missing", "triggers on another column");
    client.batch_execute(
        "alter table guests add column owns text; alter table rooms add column has_owner boolean;
         select lockstep.add_cache_column('rooms', 'has_owner', 'guests', 'room_id', '{\"owns\": \"it\"}')",
    )?;
    client.batch_execute("alter table guests drop column owns cascade")?;
    states(&mut client, "triggers missing", gone)?;
    client.batch_execute("select lockstep.attach()")?;
    states(&mut client, "active", gone)?;
    expect_rooms(&mut client, "insert into guests values (1, 1, true)", &[1])?;
    expect_rooms(&mut client, "update guests set room_id = 2", &[2])?;
    expect_rooms(&mut client, "truncate guests", &[])?;

    // Of another type, it is not the column of the definition either.
    client.batch_execute("alter table guests add column owns point; select lockstep.attach()")?;
    expect_rooms(&mut client, "insert into guests values (1, 3, true)", &[3])?;

    client.batch_execute("alter table guests drop column owns, add column owns text")?;
    states(&mut client, other, other)?;
    client.batch_execute("select lockstep.attach()")?;
    states(&mut client, "active", "active")?;
    client.batch_execute("update guests set owns = 'it'")?;
    let owned: bool = client
        .query_one("select has_owner from rooms where id = 3", &[])?
        .get(0);
    assert!(owned);

    // Triggers that serve it stop the write, as long as nothing else takes them away.
    client.batch_execute("alter table guests rename column owns to possesses")?;
    states(&mut client, other, gone)?;
    client.batch_execute("select lockstep.attach()")?;
    states(&mut client, "active", gone)?;
    let insert = "insert into guests values (2, 4, true)";
    refused(&mut client, insert, "42703", "column \"owns\"")?;
    client.batch_execute("alter table guests rename column possesses to owns")?;
    states(&mut client, other, other)?;
    client.batch_execute("select lockstep.attach()")?;
    states(&mut client, "active", "active")?;
    expect_rooms(&mut client, insert, &[3, 4])
}
