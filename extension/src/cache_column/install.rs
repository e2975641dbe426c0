//! Adds and removes cache columns: checks the definition, writes its row, installs its triggers.

use super::ddl::{drop_shared, orphans, unfollowed};
use super::definition::{Definition, Resolved};
use super::triggers::{
    Trigger, drop_triggers, is_of_definition, is_shared, row_triggers, shared_triggers,
};
use crate::error::{Error, OrRaise, Result, required};
use crate::host::{Relation, check_is_owner, lock_tables, run};
use crate::server::{Statement, as_ourselves, connected, datum, with_catalog_path};
use pgrx::prelude::*;
use pgrx::{JsonB, pg_sys};
use serde_json::{Value, json};

/// Defines `column` of `target` as "a row of `source` whose `key` is this row's primary key matches" and keeps it so from
/// now on. Returns the number of the definition. Values that are wrong already stay so until repaired.
#[pg_extern(sql = r#"
create function lockstep.add_cache_column(
  target regclass, "column" text, source regclass, key text, match jsonb,
  guard boolean default false, fire_always boolean default false)
returns integer language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.add_cache_column(regclass, text, regclass, text, jsonb, boolean, boolean) is
  'keeps a boolean column of target true exactly where a row of source matches; returns the number of the definition';
"#)]
fn add_cache_column(
    target: Option<pg_sys::Oid>,
    column: Option<&str>,
    source: Option<pg_sys::Oid>,
    key: Option<&str>,
    matches: Option<JsonB>,
    guard: Option<bool>,
    fire_always: Option<bool>,
) -> i32 {
    let definition = Definition {
        id: 0,
        target: required(target, "target").to_u32(),
        target_column: required(column, "column").to_owned(),
        source: required(source, "source").to_u32(),
        key_column: required(key, "key").to_owned(),
        matches: required(matches, "match").0,
        guard: required(guard, "guard"),
        fire_always: required(fire_always, "fire_always"),
        origin: "add_cache_column".to_owned(),
        disabled_triggers: Vec::new(),
    };
    add(definition).or_raise()
}

/// Removes a cache column's definition and triggers; the column and its values stay.
#[pg_extern(sql = r#"
create function lockstep.remove_cache_column(target regclass, "column" text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_cache_column(regclass, text) is
  'stops keeping a cache column: removes its definition and triggers, leaves the column as it is';
"#)]
fn remove_cache_column(target: Option<pg_sys::Oid>, column: Option<&str>) {
    let target = required(target, "target");
    let column = required(column, "column");
    let definition = Definition::of_column(target.to_u32(), column).or_raise();
    let definition = definition
        .ok_or_else(|| Error::NotDefined {
            table: table_name(target.to_u32()),
            column: column.to_owned(),
        })
        .or_raise();
    remove(&definition).or_raise();
}

/// Installs a definition; everything is checked before anything is changed.
pub(super) fn add(definition: Definition) -> Result<i32> {
    let target = Relation::describe(definition.target)?;
    let source = Relation::describe(definition.source)?;
    check_is_owner(&target)?;
    check_is_owner(&source)?;
    target.check_is_permanent_table()?;
    source.check_is_permanent_table()?;
    lock_tables(&[&target, &source]);
    if Definition::of_column(target.oid, &definition.target_column)?.is_some() {
        return Err(Error::Duplicate {
            table: target.qualified_name(),
            column: definition.target_column,
        });
    }
    let mut resolved = definition.resolve()?;
    resolved.prepare_to_install()?;
    resolved.definition.id = insert(&resolved)?;
    unfollowed(|| {
        for trigger in row_triggers(&resolved) {
            create(&trigger)?;
        }
        tables_of(&resolved.definition).try_for_each(replace_shared_triggers)
    })?;
    Ok(resolved.definition.id)
}

/// Removes a definition and its triggers, also where a table is gone.
pub(super) fn remove(definition: &Definition) -> Result<()> {
    let existing = tables_of(definition).filter_map(|table| Relation::describe(table).ok());
    let existing: Vec<Relation> = existing.collect();
    for table in &existing {
        check_is_owner(table)?;
    }
    lock_tables(&existing.iter().collect::<Vec<_>>());
    unfollowed(|| {
        for table in &existing {
            for statement in drop_triggers(table, |name| is_of_definition(definition.id, name)) {
                run(&statement)?;
            }
        }
        delete(definition)?;
        for table in &existing {
            replace_shared_triggers(table.oid)?;
        }
        orphans()?.iter().try_for_each(drop_shared)
    })
}

/// Source and target, once each: they can be one table.
fn tables_of(definition: &Definition) -> impl Iterator<Item = u32> + use<> {
    let same = definition.source == definition.target;
    let (target, source) = (definition.target, definition.source);
    std::iter::once(source).chain((!same).then_some(target))
}

/// Makes the statement triggers of a table and its partitions those that its definitions need now.
pub(super) fn replace_shared_triggers(table: u32) -> Result<()> {
    let table = Relation::describe(table)?;
    for part in std::iter::once(&table.oid).chain(&table.partitions) {
        for statement in drop_triggers(&Relation::describe(*part)?, is_shared) {
            run(&statement)?;
        }
    }
    for trigger in shared_triggers(&table, &Definition::of_table(table.oid)?)? {
        create(&trigger)?;
    }
    Ok(())
}

pub(super) fn create(trigger: &Trigger) -> Result<()> {
    trigger
        .install()
        .iter()
        .try_for_each(|statement| run(statement))
}

fn table_name(table: u32) -> String {
    Relation::describe(table)
        .map_or_else(|_| table.to_string(), |relation| relation.qualified_name())
}

const INSERT: &str = "
insert into lockstep.cache_column_definition
  (target_table, target_column, source_table, key_column, match, guard, fire_always, origin, disabled_triggers)
select (d->>'target')::oid::regclass, d->>'target_column', (d->>'source')::oid::regclass, d->>'key_column', d->'match',
       (d->>'guard')::boolean, (d->>'fire_always')::boolean, d->>'origin',
       array(select jsonb_array_elements_text(d->'disabled_triggers'))::name[]
  from (select $1::jsonb as d) as given
returning id::bigint";

fn insert(resolved: &Resolved) -> Result<i32> {
    let definition = &resolved.definition;
    let row = json!({
        "target": definition.target,
        "target_column": definition.target_column,
        "source": definition.source,
        "key_column": definition.key_column,
        "match": definition.matches,
        "guard": definition.guard,
        "fire_always": definition.fire_always,
        "origin": definition.origin,
        "disabled_triggers": definition.disabled_triggers,
    });
    let id = write_definition(INSERT, &row)?;
    Ok(id.unwrap_or_default() as i32)
}

fn delete(definition: &Definition) -> Result<()> {
    let text = "delete from lockstep.cache_column_definition where id = ($1::jsonb)::integer returning id::bigint";
    write_definition(text, &json!(definition.id)).map(|_| ())
}

/// The table of definitions is the extension's own; the caller's right to change it has been checked on his tables.
fn write_definition(text: &str, argument: &Value) -> Result<Option<i64>> {
    let statement = Statement::new(text, &[pg_sys::TEXTOID]);
    let argument = datum(argument.to_string());
    let row = as_ourselves(|| {
        with_catalog_path(|| connected(|| statement.first_row::<i64, 1>(&[argument])))
    });
    let [id] = row.unwrap_or_default();
    Ok(id)
}
