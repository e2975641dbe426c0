//! What the host's own DDL changes for a definition, followed by event triggers: partitions that come with rows and go with
//! them, a BEFORE trigger that rewrites updates, a foreign key that is dropped.
//!
//! Only what such a command makes necessary is changed. A trigger that somebody dropped stays dropped: while a dump is
//! restored, triggers are missing that a later command will create.

use super::definition::{Definition, Resolved};
use super::drift::{drifted_keys_in, keys_as};
use super::flush::repair;
use super::install::{create, replace_shared_triggers};
use super::keeper::keeper;
use super::triggers::{CHANGED, Trigger, drop_triggers, is_shared, row_triggers, shared_triggers};
use super::truncate::look_at_all;
use crate::error::{Error, OrRaise, Result};
use crate::host::{Relation, run};
use crate::server::{Statement, as_ourselves, connected, with_catalog_path};
use pgrx::prelude::*;
use std::cell::Cell;
use std::rc::Rc;

thread_local! {
    /// The triggers of a definition are installed by DDL too.
    static IS_FOLLOWING: Cell<bool> = const { Cell::new(false) };
}

/// At the end of a command that changes a table or creates a trigger.
#[pg_extern(sql = "
create function lockstep.follow_ddl() returns event_trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.follow_ddl() is 'event trigger: after DDL on a table of a definition, changes the triggers that it calls for';")]
fn follow_ddl() {
    following(|| tables_changed()?.into_iter().try_for_each(follow_table)).or_raise();
}

/// At the end of a command that dropped something.
#[pg_extern(sql = "
create function lockstep.follow_drop() returns event_trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.follow_drop() is 'event trigger: after a partition of a source or a foreign key to a target was dropped';")]
fn follow_drop() {
    following(|| {
        let dropped = Dropped::find()?;
        for definition in dropped.definitions {
            follow_dropped_partition(definition)?;
        }
        for table in dropped.constraint_sources {
            follow_dropped_key(table)?;
        }
        Ok(())
    })
    .or_raise();
}

/// Follows a command, unless it is one of ours.
fn following(work: impl FnOnce() -> Result<()>) -> Result<()> {
    match IS_FOLLOWING.get() {
        true => Ok(()),
        false => unfollowed(|| with_catalog_path(work)),
    }
}

/// Runs DDL of our own, which is not to be followed.
pub(super) fn unfollowed<R>(work: impl FnOnce() -> Result<R>) -> Result<R> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            IS_FOLLOWING.set(self.0);
        }
    }
    let _restore = Restore(IS_FOLLOWING.replace(true));
    work()
}

/// The tables of definitions that the command is about, directly or through a partition or trigger of theirs.
fn tables_changed() -> Result<Vec<u32>> {
    let query = "
select coalesce(jsonb_agg(distinct whole.oid::bigint), '[]')::text
  from pg_event_trigger_ddl_commands() c
  left join pg_trigger g on c.classid = 'pg_trigger'::regclass and g.oid = c.objid
  cross join lateral (select case c.classid when 'pg_class'::regclass then c.objid else g.tgrelid end) as named (oid)
  cross join lateral (select coalesce(pg_partition_root(named.oid)::oid, named.oid)) as whole (oid)
 where exists (select from lockstep.cache_column_definition d where whole.oid in (d.source_table, d.target_table))";
    list_of_catalog(query)
}

fn follow_table(table: u32) -> Result<()> {
    let table = Relation::describe(table)?;
    let all = Definition::of_table(table.oid)?;
    let definitions = resolvable(&all);
    for resolved in &definitions {
        update_row_triggers(resolved)?;
    }
    // A definition that cannot be resolved stops writes to its source by itself.
    if definitions.len() == all.len() {
        let mut newcomers = Vec::new();
        for trigger in shared_triggers(&table, &all)? {
            if trigger.is_outdated()? {
                replace(&trigger)?;
            }
            // Those of the table itself came with its definitions.
            if trigger.table_oid() != table.oid && !trigger.is_installed()? {
                install(&trigger)?;
                newcomers.push(trigger.table_oid());
            }
        }
        newcomers.dedup();
        for part in newcomers {
            look_at_newcomer(&Relation::describe(part)?, &definitions)?;
        }
    }
    for part in orphans()? {
        look_at_orphan(&part, &definitions)?;
        drop_shared(&part)?;
    }
    Ok(())
}

/// There is a BEFORE trigger now, which can change columns that an update does not name; or a column has taken the name of
/// another, and the triggers are still those of the other.
fn update_row_triggers(resolved: &Resolved) -> Result<()> {
    let triggers = row_triggers(resolved);
    for trigger in &triggers {
        if trigger.is_outdated()? {
            return triggers
                .iter()
                .filter(|other| other.table_oid() == trigger.table_oid())
                .try_for_each(replace);
        }
    }
    Ok(())
}

fn replace(trigger: &Trigger) -> Result<()> {
    if trigger.is_installed()? {
        run_all(&[trigger.uninstall()])?;
        install(trigger)?;
    }
    Ok(())
}

/// Its rows came past all row triggers.
fn look_at_newcomer(part: &Relation, definitions: &[Resolved]) -> Result<()> {
    for resolved in definitions.iter().filter(|_| !part.is_partitioned()) {
        let keeper = keeper(resolved.definition.id)?;
        if part.ancestors.contains(&resolved.source.oid) {
            repair(Rc::clone(&keeper), matching_keys_in(resolved, part));
        }
        if part.ancestors.contains(&resolved.target.oid) {
            repair(keeper, drifted_keys_in(resolved, part));
        }
    }
    Ok(())
}

/// Its rows went past all row triggers.
fn look_at_orphan(part: &Relation, definitions: &[Resolved]) -> Result<()> {
    for resolved in definitions.iter().filter(|_| !part.is_partitioned()) {
        // It may have belonged to the other table of the definition, or to that of another one.
        let conditions = resolved.conditions.iter();
        let has_columns = conditions
            .map(|condition| &condition.column)
            .chain([&resolved.key])
            .all(|column| {
                part.find_column(&column.name)
                    .is_some_and(|found| found.type_name == column.type_name)
            });
        if resolved.source.is_partitioned() && has_columns {
            repair(
                keeper(resolved.definition.id)?,
                matching_keys_in(resolved, part),
            );
        }
    }
    Ok(())
}

fn matching_keys_in(resolved: &Resolved, part: &Relation) -> Vec<i64> {
    let text = format!(
        "select array(select distinct s.{key}::pg_catalog.int8 from {part} s where s.{key} is not null and {matches})",
        key = resolved.key.quoted(),
        part = part.qualified_name(),
        matches = resolved.matches_sql("s"),
    );
    keys_as(part.owner, &text)
}

/// What of a drop may concern definitions.
struct Dropped {
    /// Those with a partitioned source, if the row trigger of some table went: of which one, nothing tells any more.
    definitions: Vec<i32>,
    /// Sources of definitions, if any constraint went.
    constraint_sources: Vec<u32>,
}

impl Dropped {
    fn find() -> Result<Self> {
        let definitions = "
select coalesce(jsonb_agg(distinct d.id), '[]')::text
  from pg_event_trigger_dropped_objects() o
  join lockstep.cache_column_definition d on o.address_names[cardinality(o.address_names)] = 'lockstep_changed'
  join pg_class c on c.oid = d.source_table and c.relkind = 'p'
 where o.object_type = 'trigger'";
        let sources = "
select coalesce(jsonb_agg(distinct d.source_table::oid::bigint), '[]')::text
  from lockstep.cache_column_definition d
 where exists (select from pg_event_trigger_dropped_objects() o where o.object_type = 'table constraint')";
        Ok(Self {
            definitions: list_of_catalog(definitions)?
                .into_iter()
                .filter_map(|id| i32::try_from(id).ok())
                .collect(),
            constraint_sources: list_of_catalog(sources)?,
        })
    }
}

/// The rows are gone, so all targets that say true are looked at, as after TRUNCATE.
fn follow_dropped_partition(definition: i32) -> Result<()> {
    let definition = Definition::load(definition)?;
    let Ok(resolved) = definition.resolve() else {
        return Ok(());
    };
    match resolved.source.trigger(CHANGED) {
        Some(_) => look_at_all(&resolved.definition),
        // The trigger itself was dropped, not a partition.
        None => Ok(()),
    }
}

/// From now on source rows can come before their targets.
fn follow_dropped_key(source: u32) -> Result<()> {
    if Relation::describe(source).is_err() {
        return Ok(());
    }
    for resolved in resolvable(&Definition::of_table(source)?) {
        if resolved.source.oid != source || resolved.source.trigger(CHANGED).is_none() {
            continue;
        }
        let target = resolved.target.oid;
        for trigger in row_triggers(&resolved) {
            if trigger.table_oid() == target && !trigger.is_installed()? {
                install(&trigger)?;
            }
        }
        as_ourselves(|| replace_shared_triggers(target))?;
    }
    Ok(())
}

/// The definitions whose tables and columns are all there.
fn resolvable(definitions: &[Definition]) -> Vec<Resolved> {
    let definitions = definitions.iter().cloned();
    definitions
        .filter_map(|definition| definition.resolve().ok())
        .collect()
}

/// Tables that have statement triggers of ours and no definition: partitions that were detached.
pub(super) fn orphans() -> Result<Vec<Relation>> {
    let query = "
select coalesce(jsonb_agg(distinct g.tgrelid::bigint), '[]')::text
  from pg_trigger g
 where g.tgfoid in ('lockstep.flush()'::regprocedure, 'lockstep.flush_truncated()'::regprocedure) and not g.tgisinternal
   and not exists (
     select from lockstep.cache_column_definition d
      where g.tgrelid in (d.source_table, d.target_table)
         or exists (select from pg_partition_ancestors(g.tgrelid) a where a.relid::oid in (d.source_table, d.target_table)))";
    list_of_catalog(query)?
        .into_iter()
        .map(Relation::describe)
        .collect()
}

pub(super) fn drop_shared(table: &Relation) -> Result<()> {
    run_all(&drop_triggers(table, is_shared))
}

/// Whoever may run the command followed need not be the owner of the table, nor have a right on the extension's schema.
fn install(trigger: &Trigger) -> Result<()> {
    as_ourselves(|| create(trigger))
}

fn run_all(statements: &[String]) -> Result<()> {
    as_ourselves(|| {
        statements.iter().try_for_each(|statement| run(statement))
    })
}

/// The numbers that a query answers with, as a JSON array.
fn list_of_catalog(query: &str) -> Result<Vec<u32>> {
    let query = Statement::new(query, &[]);
    let text = as_ourselves(|| connected(|| query.text(&[])));
    serde_json::from_str(&text.unwrap_or_default()).map_err(|error| Error::Catalog {
        message: error.to_string(),
    })
}
