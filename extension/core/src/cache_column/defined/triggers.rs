//! The triggers that definitions need.

use super::definition::{Definition, Resolved};
use super::trigger::{Place, Trigger, installed_on, name_of};
use crate::error::Result;
use lockstep_server::host::Relation;
use pgrx::pg_sys::{
    TRIGGER_TYPE_BEFORE as BEFORE, TRIGGER_TYPE_DELETE as DELETE, TRIGGER_TYPE_INSERT as INSERT,
    TRIGGER_TYPE_ROW as ROW, TRIGGER_TYPE_TRUNCATE as TRUNCATE, TRIGGER_TYPE_UPDATE as UPDATE,
};
use pgrx::spi::quote_identifier;
use std::collections::BTreeSet;

/// The statement trigger that flushes; one per table, shared by all definitions.
pub(crate) const FLUSH: &str = "lockstep_flush";
/// The row trigger of a source, which notes keys; one per table, shared by all definitions.
const CHANGED: &str = "lockstep_changed";
/// The statement trigger for TRUNCATE; one per table, shared by all definitions.
const TRUNCATED: &str = "lockstep_truncated";
/// Its name on a table that Citus distributes. Triggers fire in the order of their names, and this one comes after Citus' own
/// (truncate_trigger_...), which truncates the shards.
const TRUNCATED_SHARDS: &str = "truncated_by_lockstep";

/// The row triggers of one definition, all on its target; the trigger on the source is shared.
pub(crate) fn row_triggers(resolved: &Resolved) -> Vec<Trigger> {
    let definition = &resolved.definition;
    let target = &resolved.target;
    let column = resolved.column.quoted();
    let key = resolved.primary_key.quoted();
    let trigger = |what: &str, kind: u32, function: &'static str| {
        let name = name_of(definition.id, what);
        let mut trigger = Trigger::new(Place::of(target), &name, kind | ROW, function);
        trigger.arguments = vec![definition.argument()];
        trigger.always = definition.fire_always;
        trigger
    };
    // A BEFORE trigger can change columns that an update does not name, so on a table with one, all updates count.
    let update_of = |column: &str| match target.rewrites_updates {
        true => BTreeSet::new(),
        false => BTreeSet::from([column.to_owned()]),
    };
    let wrong = if resolved.is_guarded() {
        "is not false"
    } else {
        "is null"
    };
    let mut default = trigger("default", BEFORE | INSERT, "set_false_on_insert");
    default.when = Some((column.clone(), format!("new.{column} {wrong}")));
    let mut triggers = vec![default];
    if resolved.notes_arrival() {
        triggers.push(trigger("arrived", INSERT, "note_arrived"));
    }
    if !resolved.reference.excludes_shift {
        let mut rekeyed = trigger("rekeyed", UPDATE, "note_arrived");
        rekeyed.update_of = update_of(&key);
        // PostgreSQL copies the text of each WHEN for every update of the table. Updates that name the key are rare and nearly
        // always change it.
        rekeyed.when = target.rewrites_updates.then(|| {
            (
                key.clone(),
                format!("old.{key} operator(pg_catalog.<>) new.{key}"),
            )
        });
        triggers.push(rekeyed);
    }
    if resolved.is_guarded() {
        let mut guard = trigger("guard", UPDATE, "note_arrived");
        guard.update_of = update_of(&column);
        let condition = format!("(old.{column} operator(pg_catalog.=) new.{column}) is not true");
        guard.when = Some((column, condition));
        triggers.push(guard);
    }
    triggers
}

/// The triggers that a table and its partitions need for all definitions it takes part in.
pub(crate) fn shared_triggers(
    table: &Relation,
    definitions: &[Definition],
) -> Result<Vec<Trigger>> {
    let mut needs = Needs::default();
    for definition in definitions {
        if definition.source != table.oid || is_served(table, definition)? {
            needs.add(table, definition);
        }
    }
    let mut triggers = Vec::new();
    for place in Place::all(table) {
        triggers.extend(needs.statement_triggers(place));
    }
    if needs.is_source {
        for place in Place::all(table) {
            triggers.push(needs.row_trigger(table, place));
        }
    }
    Ok(triggers)
}

/// Whether the triggers of the source serve a definition, or will once they are installed. They go on serving one that cannot be
/// maintained any more, as after a column was renamed, so that writes fail rather than give wrong values. But no such definition is
/// added to them: writes would fail that worked until then.
pub(crate) fn is_served(source: &Relation, definition: &Definition) -> Result<bool> {
    if definition.clone().resolve().is_ok() {
        return Ok(true);
    }
    let installed = installed_on(&[source.oid])?;
    Ok(installed.iter().any(|trigger| trigger.serves(definition)))
}

/// Which statements on a table must end with a flush.
#[derive(Default)]
struct Needs {
    is_source: bool,
    insert: bool,
    update_of: BTreeSet<String>,
    /// The definitions whose source is this table, as arguments.
    arguments: Vec<String>,
    /// The columns that decide which rows match, and under which key.
    source_columns: BTreeSet<String>,
    /// An update of any column counts: it can move a row to another partition, which fires the row triggers for delete and
    /// insert, and a BEFORE trigger can change columns that the statement does not name.
    any_update: bool,
    always: bool,
    is_distributed: bool,
}

impl Needs {
    fn add(&mut self, table: &Relation, definition: &Definition) {
        self.always |= definition.fire_always;
        self.is_distributed |= table.is_distributed();
        self.any_update |= table.is_partitioned() || table.rewrites_updates;
        if definition.source == table.oid {
            self.is_source = true;
            self.insert = true;
            let columns: BTreeSet<String> = definition
                .source_columns()
                .filter(|name| table.find_column(name).is_some())
                .map(quote_identifier)
                .collect();
            self.update_of.extend(columns.iter().cloned());
            self.source_columns.extend(columns);
            self.arguments.push(definition.argument());
        }
        if definition.target == table.oid
            && let Ok(resolved) = definition.clone().resolve()
        {
            self.insert |= resolved.notes_arrival();
            if !resolved.reference.excludes_shift {
                self.update_of.insert(resolved.primary_key.quoted());
            }
            if resolved.is_guarded() {
                self.update_of.insert(resolved.column.quoted());
            }
        }
    }

    /// One trigger for all definitions and events, without a WHEN: PostgreSQL copies a table's triggers for each statement,
    /// parses each WHEN, and queues an event for each trigger that a row fires.
    fn row_trigger(&self, source: &Relation, place: Place) -> Trigger {
        let is_copy = place.is_part;
        let mut trigger = Trigger::new(
            place,
            CHANGED,
            ROW | INSERT | DELETE | UPDATE,
            "note_changed",
        );
        if !source.rewrites_updates {
            trigger.update_of.clone_from(&self.source_columns);
        }
        trigger.arguments.clone_from(&self.arguments);
        trigger.always = self.always;
        trigger.is_copy = is_copy;
        trigger
    }

    fn statement_triggers(&self, place: Place) -> Vec<Trigger> {
        let events = [
            (self.insert, INSERT),
            (self.is_source, DELETE),
            (!self.update_of.is_empty(), UPDATE),
        ];
        let kind = events
            .into_iter()
            .filter_map(|(is_needed, event)| is_needed.then_some(event))
            .sum();
        let mut triggers = Vec::new();
        if kind != 0 {
            let mut flush = Trigger::new(place.clone(), FLUSH, kind, "flush");
            if !self.any_update {
                flush.update_of.clone_from(&self.update_of);
            }
            triggers.push(flush);
        }
        if self.is_source {
            let name = match self.is_distributed {
                true => TRUNCATED_SHARDS,
                false => TRUNCATED,
            };
            let mut truncated = Trigger::new(place, name, TRUNCATE, "flush_truncated");
            if self.is_distributed {
                truncated.arguments.clone_from(&self.arguments);
            }
            triggers.push(truncated);
        }
        for trigger in &mut triggers {
            trigger.always = self.always;
        }
        triggers
    }
}
