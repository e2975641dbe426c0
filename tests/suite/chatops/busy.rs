//! Slow commands, and others that must not wait for them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::chatops::Room;
use crate::concurrency::PATIENCE;
use crate::database::cluster;

/// Counting reads whole tables. However much is being counted, a flag can be turned off.
#[test]
fn counting_keeps_nobody_from_turning_a_flag_off() -> Result<()> {
    let name = "chatops_busy";
    let mut room = Room::set(name)?;
    room.staging
        .batch_execute("select lockstep.set_feature('f', true)")?;
    let mut other = cluster()?.connect(&format!("{name}_staging"))?;
    let mut lock = other.transaction()?;
    lock.batch_execute("lock table projects in access exclusive mode")?;
    for _ in 0..6 {
        room.begin(&room.stage.caller, "run drift --staging")?;
    }
    // One of them counts.
    let counting = "select count(*) from pg_locks l join pg_database d on d.oid = l.database
                     where d.datname = current_database() and l.relation = 'projects'::regclass and not l.granted";
    let begun = Instant::now();
    while room.staging.query_one(counting, &[])?.get::<_, i64>(0) == 0 {
        ensure!(begun.elapsed() < PATIENCE, "{}", room.stage.sidecar.log());
        sleep(Duration::from_millis(20));
    }
    let origin = room.origin(&room.ada, &room.general);
    let said = room.give(&origin, "run feature set f false --staging")?;
    assert_eq!(
        said.text,
        "@ada: `/chatops run feature set f false --staging`\n• staging: on → off"
    );
    // The others are told why.
    let busy = ":hourglass: staging: too many commands at once; try again in a moment";
    assert_eq!(room.late(5)?, [busy; 5]);
    lock.commit()?;
    let all = room.late(6)?;
    ensure!(
        all.last().is_some_and(|it| it.starts_with("*staging*\n")),
        "{all:?}"
    );
    Ok(())
}
