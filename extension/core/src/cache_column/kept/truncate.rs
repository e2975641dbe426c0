//! TRUNCATE of a source or of a partition of it: no row trigger fires, so all target rows that are true are checked again.

use super::known::{carried_in, not_installed_on};
use super::walk::look_at_all;
use crate::cache_column::defined::{Definition, is_served};
use crate::error::{HostError, OrRaise, Result, ServerError};
use lockstep_server::host::{Relation, change};
use lockstep_server::row::arguments;
use lockstep_server::{shard_of, table_of};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use pgrx::spi::quote_identifier;

/// AFTER TRUNCATE of a source.
#[pg_trigger(sql = "
create function lockstep_internal.flush_truncated() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.flush_truncated() is 'statement trigger: after a source was truncated, looks at all targets';")]
fn flush_truncated<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let table = trigger.relid().map_err(ServerError::catalog).or_raise();
    match arguments(trigger).next() {
        None => look_at_targets_of(table.to_u32()).or_raise(),
        Some(_) => clear_targets_of(trigger, table).or_raise(),
    }
    Ok(None)
}

/// On a table that Citus distributes: it has truncated the shards, so no target has a match.
fn clear_targets_of(trigger: &PgTrigger, table: Oid) -> Result<()> {
    let event = trigger.event();
    if !event.fired_by_truncate() || !event.fired_after() {
        return Err(not_installed_on(
            trigger,
            &Relation::describe(table.to_u32())?,
        ));
    }
    for argument in arguments(trigger) {
        let on_shards = Definition::carried_in(&argument, shard_of);
        if on_shards.is_some_and(|it| it.source == table.to_u32()) {
            // A copy on a shard that was moved; this trigger fires on the whole table as well.
            continue;
        }
        let definition = carried_in(trigger, &argument, table_of)?;
        if definition.source != table.to_u32() {
            let table = Relation::describe(table.to_u32())?;
            return Err(not_installed_on(trigger, &table));
        }
        let target = Relation::describe(definition.target)?;
        let (target, owner) = (target.qualified_name(), target.rights());
        let column = quote_identifier(&definition.target_column);
        let clear = format!("update {target} set {column} = false where {column} is not false");
        change(&owner, &clear)?;
    }
    Ok(())
}

fn look_at_targets_of(table: u32) -> Result<()> {
    for ancestor in Relation::describe(table)?.ancestors {
        let source = Relation::describe(ancestor)?;
        for definition in Definition::of_table(ancestor)? {
            if definition.source != ancestor || !is_served(&source, &definition)? {
                continue;
            }
            match look_at_all(definition.id) {
                // This table exists, so the target is gone.
                Err(error) if matches!(error.topic(), Some(HostError::NoSuchTable { .. })) => {}
                looked => looked?,
            }
        }
    }
    Ok(())
}
