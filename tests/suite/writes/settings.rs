//! The order of locks under every session setting, with rows stored in the opposite order of their keys.

use std::thread;

use anyhow::{Context, Result, ensure};
use postgres::Client;

use crate::concurrency::{pid_of, wait_until_blocked};
use crate::database::{self, cluster};
use crate::settings::{SETTINGS, commands};
use crate::writes::{DEFINE, ROOMS_AND_GUESTS, assert_rooms};

const DATABASE: &str = "writes_settings";

/// Which guests are present before, the statement, and the rooms with a guest afterwards.
const WRITES: [(&str, &str, &[i64]); 4] = [
    ("false", "update guests set present = true", &[1, 2, 3, 4]),
    ("true", "update guests set present = false", &[]),
    (
        "id <= 2",
        "update guests set present = not present",
        &[3, 4],
    ),
    ("id >= 4", "update guests set present = true", &[1, 2, 3, 4]),
];

#[test]
fn locks_are_taken_in_key_order_under_every_setting() -> Result<()> {
    let mut client = database::empty(DATABASE)?;
    client.batch_execute("create extension lockstep")?;
    client.batch_execute(ROOMS_AND_GUESTS)?;
    client.batch_execute(DEFINE)?;
    client.batch_execute(
        "insert into rooms (id) select 5 - n from generate_series(1, 4) n;
         insert into guests select n, n, false from generate_series(1, 4) n",
    )?;
    let mut holder = cluster()?.connect(DATABASE)?;
    let mut session = cluster()?.connect(DATABASE)?;
    let singles = SETTINGS
        .iter()
        .flat_map(|(name, values)| values.iter().map(|value| vec![(*name, *value)]));
    let all = SETTINGS.iter().map(|(name, values)| (*name, values[0]));
    for settings in singles.chain([all.collect()]) {
        for write in WRITES {
            check_order(&mut client, &mut holder, &mut session, &settings, write)
                .with_context(|| format!("{settings:?}: {}", write.1))?;
        }
    }
    Ok(())
}

/// While room 2 is held, a statement on all rooms holds room 1 and nothing beyond.
fn check_order(
    client: &mut Client,
    holder: &mut Client,
    session: &mut Client,
    settings: &[(&str, &str)],
    (present, statement, rooms): (&str, &str, &[i64]),
) -> Result<()> {
    client.batch_execute(&format!("update guests set present = {present}"))?;
    // Invalidates the session's plans, which are then made again under its settings, if at all.
    client.batch_execute("analyze rooms, guests")?;
    holder.batch_execute("begin; select from rooms where id = 2 for no key update")?;
    session.batch_execute("reset all")?;
    session.batch_execute(&commands(settings)?)?;
    let pid = pid_of(session)?;
    thread::scope(|scope| {
        let writer = scope.spawn(move || session.batch_execute(statement));
        wait_until_blocked(client, pid)?;
        let free = "select coalesce(array_agg(id order by id), '{}') from (select id from rooms for no key update skip locked) r";
        let free: Vec<i64> = client.query_one(free, &[])?.get(0);
        holder.batch_execute("commit")?;
        writer
            .join()
            .map_err(|_| anyhow::anyhow!("the writer panicked"))??;
        ensure!(free == [3, 4], "the statement left rooms {free:?} unlocked");
        assert_rooms(client, rooms)
    })
}
