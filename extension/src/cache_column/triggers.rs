//! The triggers of a definition, as SQL. Names and operators are qualified, so no search path changes their meaning.

use super::definition::{Definition, Resolved};
use crate::error::Result;
use crate::host::Relation;
use pgrx::spi::quote_identifier;
use std::collections::BTreeSet;

/// The statement trigger that flushes; one a table, shared by all definitions.
pub(super) const FLUSH: &str = "lockstep_flush";
/// The statement trigger for TRUNCATE; one a table, shared by all definitions.
pub(super) const TRUNCATED: &str = "lockstep_truncated";

/// A trigger to be created.
pub(super) struct Trigger {
    table_oid: u32,
    table: String,
    name: String,
    /// What follows `create trigger NAME`, up to `execute function`, with the table left out: when it fires.
    fires: String,
    /// What follows `on TABLE`.
    action: String,
    always: bool,
}

impl Trigger {
    /// Whether its table has a trigger of that name.
    pub(super) fn is_installed(&self) -> Result<bool> {
        let table = Relation::describe(self.table_oid)?;
        Ok(table
            .triggers()
            .iter()
            .any(|trigger| trigger.name == self.name))
    }

    /// The statements that install it. It goes with the extension, though it belongs to the host's table.
    pub(super) fn install(&self) -> Vec<String> {
        let Self {
            table,
            name,
            fires,
            action,
            always,
            ..
        } = self;
        let mut statements = vec![
            format!("create trigger {name} {fires} on {table} {action}"),
            format!("alter trigger {name} on {table} depends on extension lockstep"),
        ];
        if *always {
            statements.push(format!("alter table {table} enable always trigger {name}"));
        }
        statements
    }
}

/// The row triggers of one definition.
pub(super) fn row_triggers(resolved: &Resolved) -> Vec<Trigger> {
    let mut triggers = on_source(resolved);
    triggers.extend(on_target(resolved));
    triggers
}

fn on_source(resolved: &Resolved) -> Vec<Trigger> {
    let id = resolved.definition.id;
    let (old, new) = (resolved.matches_sql("old"), resolved.matches_sql("new"));
    let update = match resolved.source.rewrites_updates {
        true => "after update".to_owned(),
        false => format!("after update of {}", columns(source_columns(resolved))),
    };
    let trigger = |what: &str, fires: &str, when: String, note: &str| Trigger {
        table_oid: resolved.source.oid,
        table: resolved.source.qualified_name(),
        name: format!("lockstep_{id}_{what}"),
        fires: fires.to_owned(),
        action: format!("for each row when ({when}) execute function lockstep.{note}('{id}')"),
        always: resolved.definition.fire_always,
    };
    vec![
        trigger("inserted", "after insert", new.clone(), "note_gained"),
        trigger("gained", &update, new, "note_gained"),
        trigger("lost", &update, old.clone(), "note_lost"),
        trigger("deleted", "after delete", old, "note_lost"),
    ]
}

fn on_target(resolved: &Resolved) -> Vec<Trigger> {
    let definition = &resolved.definition;
    let id = definition.id;
    let column = resolved.column.quoted();
    let key = resolved.primary_key.quoted();
    let trigger = |what: &str, fires: String, action: String| Trigger {
        table_oid: resolved.target.oid,
        table: resolved.target.qualified_name(),
        name: format!("lockstep_{id}_{what}"),
        fires,
        action,
        always: definition.fire_always,
    };
    let note_arrived = format!("execute function lockstep.note_arrived('{id}')");
    let update = |columns: &str| match resolved.target.rewrites_updates {
        true => "after update".to_owned(),
        false => format!("after update of {columns}"),
    };
    let wrong = if definition.guard {
        "is not false"
    } else {
        "is null"
    };
    let mut triggers = vec![trigger(
        "default",
        "before insert".to_owned(),
        format!(
            "for each row when (new.{column} {wrong}) execute function lockstep.set_false_on_insert('{id}')"
        ),
    )];
    if !resolved.is_referenced {
        triggers.push(trigger(
            "arrived",
            "after insert".to_owned(),
            format!("for each row {note_arrived}"),
        ));
        triggers.push(trigger(
            "rekeyed",
            update(&key),
            format!(
                "for each row when (old.{key} operator(pg_catalog.<>) new.{key}) {note_arrived}"
            ),
        ));
    }
    if definition.guard {
        triggers.push(trigger(
            "guard",
            update(&column),
            format!("for each row when ((old.{column} operator(pg_catalog.=) new.{column}) is not true) {note_arrived}"),
        ));
    }
    triggers
}

/// The statement triggers that a table and its partitions need for all definitions it takes part in.
pub(super) fn statement_triggers(
    table: &Relation,
    definitions: &[Definition],
) -> Result<Vec<Trigger>> {
    let mut needs = Needs::default();
    for definition in definitions {
        needs.add(table, &definition.clone().resolve()?);
    }
    let mut triggers = Vec::new();
    for part in std::iter::once(&table.oid).chain(&table.partitions) {
        let part = Relation::describe(*part)?;
        triggers.extend(needs.triggers(&part));
    }
    Ok(triggers)
}

/// Which statements on a table have to end with a flush.
#[derive(Default)]
struct Needs {
    is_source: bool,
    insert: bool,
    update_of: BTreeSet<String>,
    /// An update of any column counts: it can move a row to another partition, which fires the row triggers of a delete and an
    /// insert, and a BEFORE trigger can change columns that the statement does not name.
    any_update: bool,
    always: bool,
}

impl Needs {
    fn add(&mut self, table: &Relation, resolved: &Resolved) {
        self.always |= resolved.definition.fire_always;
        self.any_update |= table.is_partitioned() || table.rewrites_updates;
        if resolved.source.oid == table.oid {
            self.is_source = true;
            self.insert = true;
            self.update_of.extend(source_columns(resolved));
        }
        if resolved.target.oid == table.oid {
            if !resolved.is_referenced {
                self.insert = true;
                self.update_of.insert(resolved.primary_key.quoted());
            }
            if resolved.definition.guard {
                self.update_of.insert(resolved.column.quoted());
            }
        }
    }

    fn triggers(&self, table: &Relation) -> Vec<Trigger> {
        let mut events = Vec::new();
        if self.insert {
            events.push("insert".to_owned());
        }
        if self.is_source {
            events.push("delete".to_owned());
        }
        if self.any_update && !self.update_of.is_empty() {
            events.push("update".to_owned());
        } else if !self.update_of.is_empty() {
            events.push(format!(
                "update of {}",
                columns(self.update_of.iter().cloned())
            ));
        }
        let trigger = |name: &str, fires: String, function: &str| Trigger {
            table_oid: table.oid,
            table: table.qualified_name(),
            name: name.to_owned(),
            fires,
            action: format!("for each statement execute function lockstep.{function}()"),
            always: self.always,
        };
        let mut triggers = Vec::new();
        if !events.is_empty() {
            triggers.push(trigger(
                FLUSH,
                format!("after {}", events.join(" or ")),
                "flush",
            ));
        }
        if self.is_source {
            triggers.push(trigger(
                TRUNCATED,
                "after truncate".to_owned(),
                "flush_truncated",
            ));
        }
        triggers
    }
}

/// The columns of the source that decide, quoted.
fn source_columns(resolved: &Resolved) -> impl Iterator<Item = String> {
    let matched = resolved
        .conditions
        .iter()
        .map(|condition| condition.column.quoted());
    std::iter::once(resolved.key.quoted()).chain(matched)
}

fn columns(quoted: impl Iterator<Item = String>) -> String {
    let distinct: BTreeSet<String> = quoted.collect();
    distinct.into_iter().collect::<Vec<_>>().join(", ")
}

/// The statements that drop every trigger of a definition, or every shared one, that `table` has.
pub(super) fn drop_triggers(table: &Relation, is_ours: impl Fn(&str) -> bool) -> Vec<String> {
    let name = table.qualified_name();
    let ours = table
        .triggers()
        .iter()
        .filter(|trigger| is_ours(&trigger.name));
    ours.map(|trigger| format!("drop trigger {} on {name}", quote_identifier(&trigger.name)))
        .collect()
}

/// Whether a trigger belongs to one definition alone.
pub(super) fn is_of_definition(id: i32, trigger: &str) -> bool {
    trigger.starts_with(&format!("lockstep_{id}_"))
}

/// Whether a trigger is shared by all definitions of its table.
pub(super) fn is_shared(trigger: &str) -> bool {
    trigger == FLUSH || trigger == TRUNCATED
}
