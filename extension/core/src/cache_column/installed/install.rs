//! Adds and removes cache columns: checks the definition, writes its row and installs its triggers.

use super::state::{holder_of, partitions_of, work};
use crate::cache_column::defined::{
    Definition, Flaw, Installed, Trigger, installed_on, shared_triggers,
};
use crate::error::{CacheColumnError, OrRaise, Result, required};
use lockstep_server::error::notice;
use lockstep_server::host::{Part, Relation, change, check_is_owner, lock_tables};
use lockstep_server::{
    Jsonb, Rights, Statement, as_ourselves, as_owner, connected, datum, with_catalog_path,
};
use pgrx::pg_sys;
use pgrx::prelude::*;
use pgrx::spi::{quote_identifier, quote_literal};
use serde_json::{Value, json};

/// Defines `column` of `target` as "a row of `source` whose `key` is this row's primary key matches" and maintains it from now
/// on. Returns the number of the definition. Values that are already wrong stay wrong until repaired.
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
    matches: Option<Jsonb>,
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
        always_triggers: Vec::new(),
        target_name: Vec::new(),
        source_name: Vec::new(),
        partitions: Vec::new(),
    };
    let id = add(definition).or_raise();
    notice_unrepaired(target, column).or_raise();
    id
}

/// Existing values of the column may be wrong, and nothing has checked them.
fn notice_unrepaired(target: Option<pg_sys::Oid>, column: Option<&str>) -> Result<()> {
    let table = Relation::describe(required(target, "target").to_u32())?;
    let name = table.qualified_name();
    let first = Statement::new(&format!("select '' from {name} limit 1"), &[]);
    let has_rows = as_owner(&table.rights(), || connected(|| first.text(&[])).is_some());
    if has_rows {
        notice(
            format!("rows that are in table \"{name}\" already are not looked at"),
            "The column may have other values there than it should.",
            format!(
                "To correct them: select lockstep.repair_cache_column({}, {}).",
                quote_literal(&name),
                quote_literal(column.unwrap_or_default())
            ),
        );
    }
    Ok(())
}

/// Removes a cache column's definition and triggers; the column and its values stay. `target` is the table's current name, or its
/// name when it was dropped or replaced.
#[pg_extern(sql = r#"
create function lockstep.remove_cache_column(target text, "column" text)
returns void language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_cache_column(text, text) is
  'removes a cache column''s definition and triggers, and leaves the column as it is; target may be a dropped table';
"#)]
fn remove_cache_column(target: Option<&str>, column: Option<&str>) {
    let target = required(target, "target");
    let column = required(column, "column");
    let definition = named(target, column).or_raise();
    remove(&definition).or_raise();
}

#[pg_extern(sql = r#"
create function lockstep.remove_cache_column(target regclass, "column" text)
returns void language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.remove_cache_column(regclass, text) is
  'removes a cache column''s definition and triggers, and leaves the column as it is';
"#)]
fn remove_cache_column_of(target: Option<pg_sys::Oid>, column: Option<&str>) {
    let target = required(target, "target");
    remove_cache_column(Some(&target.to_u32().to_string()), column);
}

/// The definition of a column of a table with this current or former name, or with this OID.
fn named(target: &str, column: &str) -> Result<Definition> {
    // As the caller reads a name, with the caller's search path.
    let query = Statement::new(
        "select pg_catalog.to_jsonb(array[pg_catalog.to_regclass($1)::pg_catalog.oid::pg_catalog.text]
                  operator(pg_catalog.||) pg_catalog.parse_ident($1))::pg_catalog.text",
        &[pg_sys::TEXTOID],
    );
    let number = target.parse::<u32>().ok();
    let names: Vec<Option<String>> = match number {
        Some(_) => Vec::new(),
        None => {
            serde_json::from_str(&connected(|| query.text(&[datum(target)])).unwrap_or_default())
                .unwrap_or_default()
        }
    };
    let mut names = names.into_iter();
    let oid = number.or_else(|| names.next()??.parse().ok());
    let name: Vec<String> = names.flatten().collect();
    let all = Definition::all()?;
    let of_column = || {
        all.iter()
            .filter(|definition| definition.target_column == column)
    };
    let found = of_column()
        .find(|definition| Some(definition.target) == oid)
        .or_else(|| {
            of_column()
                .find(|definition| !name.is_empty() && definition.target_name.ends_with(&name))
        });
    found.cloned().ok_or_else(|| {
        CacheColumnError::NotDefined {
            table: oid.map_or_else(|| target.to_owned(), table_name),
            column: column.to_owned(),
        }
        .into()
    })
}

/// Installs a definition. Everything is checked before anything changes, and read before anything is locked.
pub(super) fn add(definition: Definition) -> Result<i32> {
    let target = Relation::describe(definition.target)?;
    let source = Relation::describe(definition.source)?;
    check_is_owner(&target)?;
    check_is_owner(&source)?;
    let mut resolved = definition.resolve()?;
    resolved.prepare_to_install()?;
    lock_tables(&[&target, &source]);
    // Another session may have been faster.
    let mut resolved = resolved.definition.resolve()?;
    let definition = &mut resolved.definition;
    if Definition::of_column(target.oid, &definition.target_column)?.is_some() {
        return Err(CacheColumnError::Duplicate {
            table: target.qualified_name(),
            column: definition.target_column.clone(),
        }
        .into());
    }
    definition.target_name = resolved.target.names().into();
    definition.source_name = resolved.source.names().into();
    definition.partitions = partitions_of(&resolved.source, &resolved.target);
    definition.id = insert(definition)?;
    let id = definition.id;
    let work = work(resolved)?;
    put_up(&work.flawed, &work.installed)?;
    Ok(id)
}

/// Installs triggers, replacing wrong ones.
pub(super) fn put_up(triggers: &[(Trigger, Flaw)], installed: &[Installed]) -> Result<()> {
    triggers
        .iter()
        .try_for_each(|(trigger, _)| trigger.install(installed))
}

/// Removes a definition and its triggers, even if a table is gone, and enables the application triggers that were disabled for
/// it; returns their names.
pub(super) fn remove(definition: &Definition) -> Result<Vec<String>> {
    take_down(definition)?;
    give_back(definition)
}

/// The same, without the application triggers.
pub(super) fn take_down(definition: &Definition) -> Result<()> {
    let tables = [definition.source, definition.target];
    let existing = tables.map(Relation::describe).into_iter().flatten();
    let existing: Vec<Relation> = existing.collect();
    for table in &existing {
        check_is_owner(table)?;
    }
    delete(definition)?;
    for table in &existing {
        clear(table.oid)?;
    }
    // Triggers that partitions kept when they were detached.
    for part in &definition.partitions {
        clear(*part)?;
    }
    Ok(())
}

/// Drops our triggers on a table and its partitions that no definition needs, and updates the shared ones.
pub(super) fn clear(table: u32) -> Result<()> {
    let Ok(table) = Relation::describe(table) else {
        return Ok(());
    };
    if let [_, .., root] = table.ancestors[..] {
        return clear_part(&table, root);
    }
    let definitions = Definition::of_table(table.oid)?;
    let needed = shared_triggers(&table, &definitions)?;
    let parts = table.partitions.iter().map(|part| part.oid);
    let installed = installed_on(&parts.chain([table.oid]).collect::<Vec<_>>())?;
    for trigger in &installed {
        let is_of_definition = definitions
            .iter()
            .any(|definition| trigger.belongs_to(definition));
        if !is_of_definition && !needed.iter().any(|needed| trigger.is_one(needed)) {
            trigger.drop()?;
        }
    }
    let changed = needed.iter().filter(|needed| needed.is_changed(&installed));
    for trigger in changed {
        if trigger.is_for_rows() {
            table.check_owns_partitions()?;
        }
        trigger.install(&installed)?;
    }
    Ok(())
}

/// The same for a partition. It has copies of the whole table's row triggers; others are from before it was a partition.
fn clear_part(part: &Relation, root: u32) -> Result<()> {
    let definitions = Definition::of_table(part.oid)?;
    let mut needed = shared_triggers(part, &definitions)?;
    needed.extend(shared_triggers(
        &Relation::describe(root)?,
        &Definition::of_table(root)?,
    )?);
    needed.retain(|needed| !needed.is_copy);
    for trigger in installed_on(&[part.oid])? {
        let is_of_definition = definitions.iter().any(|it| trigger.belongs_to(it));
        if !is_of_definition && !needed.iter().any(|needed| trigger.is_one(needed)) {
            trigger.drop()?;
        }
    }
    Ok(())
}

/// Drops all our triggers on a table that has become a partition of one that takes over its definitions.
pub(super) fn strip(part: &Part) -> Result<()> {
    let installed = installed_on(&[part.oid])?;
    installed.iter().try_for_each(Installed::drop)
}

/// Enables the application triggers that were disabled for a definition: also on a table of the caller that took the source's name
/// after it was dropped, as a restore does, which disables them there as well.
pub(super) fn give_back(definition: &Definition) -> Result<Vec<String>> {
    give_back_by(definition, &change)
}

/// `change` runs a statement that changes the table of that owner.
pub(super) fn give_back_by(
    definition: &Definition,
    change: &dyn Fn(&Rights, &str) -> Result<()>,
) -> Result<Vec<String>> {
    let source = match Relation::describe(definition.source) {
        Ok(source) => Some(source),
        Err(_) => holder_of(&definition.source_name)?.filter(|it| check_is_owner(it).is_ok()),
    };
    let Some(source) = source else {
        return Ok(Vec::new());
    };
    let disabled = definition
        .disabled_triggers
        .iter()
        .filter(|name| source.trigger(name).is_some_and(|trigger| !trigger.enabled));
    let disabled: Vec<String> = disabled.cloned().collect();
    for name in &disabled {
        let action = match definition.always_triggers.contains(name) {
            true => "enable always",
            false => "enable",
        };
        change(&source.rights(), &switching(&source, name, action))?;
    }
    notice_renamed(definition, &source);
    Ok(disabled)
}

/// A trigger that is not there under its name any more was dropped, or renamed and is still disabled.
fn notice_renamed(definition: &Definition, source: &Relation) {
    let is_gone = |name: &&String| source.trigger(name).is_none();
    let gone: Vec<&str> = definition
        .disabled_triggers
        .iter()
        .filter(is_gone)
        .map(String::as_str)
        .collect();
    let others = source
        .triggers()
        .iter()
        .filter(|it| !it.enabled && !definition.disabled_triggers.contains(&it.name));
    let others: Vec<&str> = others.map(|it| it.name.as_str()).collect();
    if gone.is_empty() || others.is_empty() {
        return;
    }
    let table = source.qualified_name();
    notice(
        format!(
            "triggers of table \"{table}\" that lockstep.attach disabled are not there any more: {}",
            gone.join(", ")
        ),
        format!(
            "These are disabled, and may be the same under other names: {}.",
            others.join(", ")
        ),
        format!(
            "To enable one of them: alter table {table} enable trigger {}.",
            quote_identifier(others[0])
        ),
    );
}

/// `action` is `enable`, `enable always` or `disable`.
pub(super) fn switch_trigger(table: &Relation, trigger: &str, action: &str) -> Result<()> {
    change(&table.rights(), &switching(table, trigger, action))
}

fn switching(table: &Relation, trigger: &str, action: &str) -> String {
    let (name, trigger) = (table.qualified_name(), quote_identifier(trigger));
    format!("alter table {name} {action} trigger {trigger}")
}

fn table_name(table: u32) -> String {
    Relation::describe(table)
        .map_or_else(|_| table.to_string(), |relation| relation.qualified_name())
}

const INSERT: &str = "
insert into lockstep_internal.cache_column_definition
  (target_table, target_column, source_table, key_column, match, guard, fire_always, origin, disabled_triggers, always_triggers,
   target_name, source_name, partitions)
select (d->>'target')::oid::regclass, d->>'target_column', (d->>'source')::oid::regclass, d->>'key_column', d->'match',
       (d->>'guard')::boolean, (d->>'fire_always')::boolean, d->>'origin', n.disabled_triggers, n.always_triggers,
       n.target_name, n.source_name, n.partitions
  from (select $1::jsonb) as given (d)
  cross join lateral jsonb_to_record(d)
       as n (disabled_triggers name[], always_triggers name[], target_name name[], source_name name[], partitions oid[])
returning id::bigint";

const UPDATE: &str = "
update lockstep_internal.cache_column_definition as c
   set disabled_triggers = n.disabled_triggers, always_triggers = n.always_triggers,
       target_name = n.target_name, source_name = n.source_name, partitions = n.partitions
  from jsonb_to_record($1::jsonb)
       as n (id integer, disabled_triggers name[], always_triggers name[], target_name name[], source_name name[], partitions oid[])
 where c.id = n.id
returning c.id::bigint";

fn insert(definition: &Definition) -> Result<i32> {
    let id = write_definition(INSERT, &json!(definition))?;
    Ok(id.unwrap_or_default() as i32)
}

/// Writes the changeable part of a definition.
pub(super) fn update(definition: &Definition) -> Result<()> {
    write_definition(UPDATE, &json!(definition)).map(|_| ())
}

fn delete(definition: &Definition) -> Result<()> {
    let text = "delete from lockstep_internal.cache_column_definition where id = ($1::jsonb)::integer returning id::bigint";
    write_definition(text, &json!(definition.id)).map(|_| ())
}

/// The definitions table belongs to the extension; the caller's right to change the row has been checked on the tables it names.
fn write_definition(text: &str, argument: &Value) -> Result<Option<i64>> {
    let statement = Statement::new(text, &[pg_sys::TEXTOID]);
    let argument = datum(argument.to_string());
    let row = as_ourselves(|| {
        with_catalog_path(|| connected(|| statement.first_row::<i64, 1>(&[argument])))
    });
    let [id] = row.unwrap_or_default();
    Ok(id)
}
