//! The triggers of a definition, as SQL. Names and operators are qualified, so no search path changes their meaning.

use super::definition::{Definition, Resolved};
use crate::error::Result;
use crate::host::{InstalledTrigger, Relation};
use pgrx::spi::quote_identifier;
use std::collections::BTreeSet;

/// The statement trigger that flushes; one a table, shared by all definitions.
pub(super) const FLUSH: &str = "lockstep_flush";
/// The row trigger of a source, which notes; one a table, shared by all definitions.
pub(super) const CHANGED: &str = "lockstep_changed";
/// The statement trigger for TRUNCATE; one a table, shared by all definitions.
pub(super) const TRUNCATED: &str = "lockstep_truncated";

/// A trigger to be created.
pub(super) struct Trigger {
    table_oid: u32,
    table: String,
    name: String,
    fires: Events,
    /// What follows `on TABLE`.
    action: String,
    always: bool,
}

/// When a trigger fires.
struct Events {
    /// `before insert` or `after delete or update`, without columns.
    what: String,
    /// Quoted; if there are any, updates count only if they name one of them. The update is the last of the events.
    columns: BTreeSet<String>,
}

impl Events {
    fn of(what: &str) -> Self {
        Self {
            what: what.to_owned(),
            columns: BTreeSet::new(),
        }
    }

    /// A BEFORE trigger can change columns that an update does not name, so on a table with one all updates count.
    fn after_update(table: &Relation, columns: impl Iterator<Item = String>) -> Self {
        Self {
            columns: match table.rewrites_updates {
                true => BTreeSet::new(),
                false => columns.collect(),
            },
            ..Self::of("after update")
        }
    }

    fn sql(&self) -> String {
        let columns: Vec<&str> = self.columns.iter().map(String::as_str).collect();
        match columns.as_slice() {
            [] => self.what.clone(),
            columns => format!("{} of {}", self.what, columns.join(", ")),
        }
    }
}

impl Trigger {
    pub(super) fn table_oid(&self) -> u32 {
        self.table_oid
    }

    /// Whether its table has a trigger of that name.
    pub(super) fn is_installed(&self) -> Result<bool> {
        Ok(self.installed()?.is_some())
    }

    /// Whether the one that its table has fires for updates of other columns.
    pub(super) fn is_outdated(&self) -> Result<bool> {
        let installed = self.installed()?;
        Ok(installed.is_some_and(|trigger| trigger.columns != self.fires.columns))
    }

    fn installed(&self) -> Result<Option<InstalledTrigger>> {
        let table = Relation::describe(self.table_oid)?;
        Ok(table.trigger(&self.name).cloned())
    }

    /// The statement that drops the one its table has.
    pub(super) fn uninstall(&self) -> String {
        format!("drop trigger {} on {}", self.name, self.table)
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
            format!("create trigger {name} {} on {table} {action}", fires.sql()),
            format!("alter trigger {name} on {table} depends on extension lockstep"),
        ];
        if *always {
            statements.push(format!("alter table {table} enable always trigger {name}"));
        }
        statements
    }
}

/// The row triggers of one definition, all on its target: that on the source is shared.
pub(super) fn row_triggers(resolved: &Resolved) -> Vec<Trigger> {
    let definition = &resolved.definition;
    let id = definition.id;
    let column = resolved.column.quoted();
    let key = resolved.primary_key.quoted();
    let trigger = |what: &str, fires: Events, action: String| Trigger {
        table_oid: resolved.target.oid,
        table: resolved.target.qualified_name(),
        name: name_of(id, what),
        fires,
        action,
        always: definition.fire_always,
    };
    let note_arrived = format!("execute function lockstep.note_arrived('{id}')");
    let update =
        |column: &str| Events::after_update(&resolved.target, std::iter::once(column.to_owned()));
    let wrong = if definition.guard {
        "is not false"
    } else {
        "is null"
    };
    let mut triggers = vec![trigger(
        "default",
        Events::of("before insert"),
        format!(
            "for each row when (new.{column} {wrong}) execute function lockstep.set_false_on_insert('{id}')"
        ),
    )];
    if !resolved.reference.excludes_arrival {
        triggers.push(trigger(
            "arrived",
            Events::of("after insert"),
            format!("for each row {note_arrived}"),
        ));
    }
    if !resolved.reference.excludes_shift {
        triggers.push(trigger(
            "rekeyed",
            update(&key),
            // PostgreSQL copies the text of each WHEN for every update of the table. Where the update names the key, which it
            // seldom does, it hardly ever leaves it as it is.
            match resolved.target.rewrites_updates {
                true => format!(
                    "for each row when (old.{key} operator(pg_catalog.<>) new.{key}) {note_arrived}"
                ),
                false => format!("for each row {note_arrived}"),
            },
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

/// The triggers that a table and its partitions need for all definitions it takes part in.
pub(super) fn shared_triggers(
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
    // PostgreSQL itself gives it to the partitions.
    if needs.is_source {
        triggers.push(needs.row_trigger(table));
    }
    Ok(triggers)
}

/// Which statements on a table have to end with a flush.
#[derive(Default)]
struct Needs {
    is_source: bool,
    insert: bool,
    update_of: BTreeSet<String>,
    /// The definitions that the table is the source of.
    definitions: Vec<i32>,
    /// Of the columns, those that decide which rows match under which key.
    source_columns: BTreeSet<String>,
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
            self.definitions.push(resolved.definition.id);
            self.source_columns.extend(source_columns(resolved));
        }
        if resolved.target.oid == table.oid {
            self.insert |= !resolved.reference.excludes_arrival;
            if !resolved.reference.excludes_shift {
                self.update_of.insert(resolved.primary_key.quoted());
            }
            if resolved.definition.guard {
                self.update_of.insert(resolved.column.quoted());
            }
        }
    }

    /// One for all definitions and events, without a WHEN: PostgreSQL copies the triggers of a table for each statement and
    /// parses each WHEN, and keeps an event for each trigger that a row fires.
    fn row_trigger(&self, source: &Relation) -> Trigger {
        let ids: Vec<String> = self
            .definitions
            .iter()
            .map(|id| format!("'{id}'"))
            .collect();
        let updated = Events::after_update(source, self.source_columns.iter().cloned());
        Trigger {
            table_oid: source.oid,
            table: source.qualified_name(),
            name: CHANGED.to_owned(),
            fires: Events {
                what: "after insert or delete or update".to_owned(),
                ..updated
            },
            action: format!(
                "for each row execute function lockstep.note_changed({})",
                ids.join(", ")
            ),
            always: self.always,
        }
    }

    fn triggers(&self, table: &Relation) -> Vec<Trigger> {
        let mut events = Vec::new();
        if self.insert {
            events.push("insert");
        }
        if self.is_source {
            events.push("delete");
        }
        // It comes last, as the columns follow it.
        if !self.update_of.is_empty() {
            events.push("update");
        }
        let trigger = |name: &str, fires: Events, function: &str| Trigger {
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
                Events {
                    what: format!("after {}", events.join(" or ")),
                    columns: match self.any_update {
                        true => BTreeSet::new(),
                        false => self.update_of.clone(),
                    },
                },
                "flush",
            ));
        }
        if self.is_source {
            triggers.push(trigger(
                TRUNCATED,
                Events::of("after truncate"),
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

/// The name of a row trigger of a definition.
pub(super) fn name_of(id: i32, what: &str) -> String {
    format!("lockstep_{id}_{what}")
}

/// Whether a trigger belongs to one definition alone.
pub(super) fn is_of_definition(id: i32, trigger: &str) -> bool {
    trigger.starts_with(&name_of(id, ""))
}

/// Whether a trigger is shared by all definitions of its table.
pub(super) fn is_shared(trigger: &str) -> bool {
    [FLUSH, CHANGED, TRUNCATED].contains(&trigger)
}
