//! Which definitions a row trigger serves, and which table it fired on.

use crate::cache_column::defined::Definition;
use crate::error::{CacheColumnError, Error, Result, ServerError};
use lockstep_server::host::{self, Relation};
use lockstep_server::row::arguments;
use lockstep_server::shard_of;
use pgrx::pg_sys::Oid;
use pgrx::prelude::PgTrigger;

/// The table a trigger fired on: `whole`, or one of its partitions, whose columns can have other numbers.
pub(super) fn table_fired_on(trigger: &PgTrigger, whole: &Relation) -> Result<Relation> {
    check_is_row_trigger(trigger)?;
    let table = trigger.relid().map_err(ServerError::catalog)?;
    host::watch(table);
    if table.to_u32() == whole.oid {
        return Ok(whole.clone());
    }
    part_fired_on(trigger, whole.oid)
}

/// The same where `whole` may be gone, as after a restore that created its tables again: then the trigger belongs to no definition.
pub(super) fn part_fired_on(trigger: &PgTrigger, whole: u32) -> Result<Relation> {
    let relation = fired_on(trigger)?;
    match relation.ancestors.contains(&whole) {
        true => Ok(relation),
        false => Err(not_installed_on(trigger, &relation)),
    }
}

/// Any user may create a trigger on a table of their own with one of our functions.
pub(super) fn check_is_row_trigger(trigger: &PgTrigger) -> Result<()> {
    if trigger.event().fired_for_row() {
        return Ok(());
    }
    Err(CacheColumnError::NotARowTrigger {
        trigger: trigger.name().unwrap_or_default().to_owned(),
    }
    .into())
}

/// The numbers of the definitions in the trigger's arguments.
pub(super) fn definition_arguments(trigger: &PgTrigger) -> Result<Vec<i32>> {
    let definitions = arguments(trigger).map(|argument| match argument.parse() {
        Ok(definition @ 1..) => Ok(definition),
        // The numbers below are for carried definitions, which are nobody's to name.
        Ok(_) => Err(bad_argument(argument)),
        Err(_) => carried(trigger, &argument),
    });
    match definitions.collect::<Result<Vec<i32>>>()? {
        none if none.is_empty() => Err(bad_argument("")),
        definitions => Ok(definitions),
    }
}

/// The number of the definition in the trigger's only argument.
pub(super) fn definition_argument(trigger: &PgTrigger) -> Result<i32> {
    match definition_arguments(trigger)?.as_slice() {
        [definition] => Ok(*definition),
        _ => Err(bad_argument("")),
    }
}

/// The number in this backend of the definition that a trigger on a shard carries.
fn carried(trigger: &PgTrigger, argument: &str) -> Result<i32> {
    Definition::check_lies_here(argument)?;
    let definition = carried_in(trigger, argument, shard_of)?;
    Ok(definition.bring())
}

/// The definition that a trigger on a distributed table or a shard carries.
pub(super) fn carried_in(
    trigger: &PgTrigger,
    argument: &str,
    table: fn(i64) -> Option<u32>,
) -> Result<Definition> {
    let definition =
        Definition::carried_in(argument, table).ok_or_else(|| bad_argument(argument))?;
    let table = fired_on(trigger)?;
    if ![definition.target, definition.source].contains(&table.oid) {
        return Err(not_installed_on(trigger, &table));
    }
    // Before anything is learned about them.
    host::watch(Oid::from(definition.target));
    host::watch(Oid::from(definition.source));
    if definition.remaining_table().is_some() {
        let table = table.qualified_name();
        return Err(CacheColumnError::OtherShardGone { table }.into());
    }
    match definition.is_agreed_by_tables(argument) {
        true => Ok(definition),
        false => Err(not_installed_on(trigger, &table)),
    }
}

fn fired_on(trigger: &PgTrigger) -> Result<Relation> {
    let table = trigger.relid().map_err(ServerError::catalog)?;
    Relation::describe(table.to_u32())
}

pub(super) fn not_installed_on(trigger: &PgTrigger, table: &Relation) -> Error {
    CacheColumnError::NotInstalledOn {
        trigger: trigger.name().unwrap_or_default().to_owned(),
        table: table.qualified_name(),
    }
    .into()
}

fn bad_argument(argument: impl Into<String>) -> Error {
    let argument = argument.into();
    CacheColumnError::BadTriggerArgument { argument }.into()
}
