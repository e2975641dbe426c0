//! Code of a malicious table owner, planted wherever a table can have code, against every function, view, trigger and worker of
//! lockstep: it runs only with the owner's rights, whoever calls.

mod calls;
mod settings;
mod things;
mod way;
mod world;

use anyhow::{Result, ensure};

use calls::{CALLS, Way};
use things::Thing;
use world::World;

fn attack(name: &str, thing: &Thing) -> Result<()> {
    if thing.arranged.contains("file_fdw") && !world::cluster()?.has_module("file_fdw") {
        return Ok(());
    }
    let mut world = World::with(name, thing)?;
    world.call_all()?;
    world.call_alone()?;
    world.work()?;
    world.write_all()?;
    world.end(thing)
}

/// A new function has to be considered here.
#[test]
fn every_function_has_a_row() -> Result<()> {
    let mut client = crate::database::empty("hostile_functions")?;
    client.batch_execute("create extension lockstep_slack cascade")?;
    let rows = client.query(
        "select p.proname::text, p.prorettype in ('trigger'::regtype, 'event_trigger'::regtype) from pg_proc p
          where p.pronamespace::regnamespace::text ~ '^lockstep' order by 1",
        &[],
    )?;
    let there: Vec<(String, bool)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut here: Vec<(String, bool)> = CALLS
        .iter()
        .map(|(name, way)| ((*name).to_owned(), matches!(way, Way::Trigger)))
        .collect();
    here.sort();
    ensure!(
        here == there,
        "without a row: {:?}; rows without a function: {:?}",
        there
            .iter()
            .filter(|it| !here.contains(it))
            .collect::<Vec<_>>(),
        here.iter()
            .filter(|it| !there.contains(it))
            .collect::<Vec<_>>()
    );
    Ok(())
}

/// Without anything hostile each call works; otherwise the other tests would prove nothing.
#[test]
fn nothing() -> Result<()> {
    let mut world = World::with("nothing", &things::NOTHING)?;
    world.call_all()?;
    world.call_alone()?;
    world.work()?;
    world.write_all()?;
    let failed: Vec<&String> = world
        .failed
        .iter()
        .filter(|it| it.starts_with("postgres: "))
        .collect();
    ensure!(failed.is_empty(), "{failed:#?}");
    world.end(&things::NOTHING)
}

macro_rules! attacks {
    ($($name:ident: $thing:ident,)*) => {
        $(#[test] fn $name() -> Result<()> { attack(stringify!($name), &things::$thing) })*
    };
}

attacks! {
    columns: COLUMNS,
    triggers: TRIGGERS,
    deferred_triggers: DEFERRED,
    policies: POLICIES,
    rules: RULES,
    views: VIEWS,
    domains: DOMAINS,
    domains_before_attach: DOMAINS_FIRST,
    domains_of_texts_before_attach: TEXTS_FIRST,
    enums: ENUMS,
    event_triggers: EVENT_TRIGGERS,
    foreign_tables: FOREIGN_TABLES,
    partitions: PARTITIONS,
    children: CHILDREN,
    shadows: SHADOWS,
    source_of_another: SOURCE_OF_ANOTHER,
    target_of_another: TARGET_OF_ANOTHER,
}
