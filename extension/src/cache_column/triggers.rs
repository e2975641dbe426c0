//! The triggers that a definition needs: as SQL, and compared with those that are there. Names and operators are qualified, so no
//! search path changes their meaning.

use super::definition::{Definition, Resolved};
use crate::error::{Error, Result};
use crate::host::{Relation, change};
use crate::server::{Statement, connected, datum, with_catalog_path};
use pgrx::pg_sys::{
    self, TRIGGER_TYPE_BEFORE as BEFORE, TRIGGER_TYPE_DELETE as DELETE,
    TRIGGER_TYPE_INSERT as INSERT, TRIGGER_TYPE_ROW as ROW, TRIGGER_TYPE_TRUNCATE as TRUNCATE,
    TRIGGER_TYPE_UPDATE as UPDATE,
};
use pgrx::spi::quote_identifier;
use serde::Deserialize;
use std::collections::BTreeSet;

/// The statement trigger that flushes; one a table, shared by all definitions.
pub(super) const FLUSH: &str = "lockstep_flush";
/// The row trigger of a source, which notes; one a table, shared by all definitions.
const CHANGED: &str = "lockstep_changed";
/// The statement trigger for TRUNCATE; one a table, shared by all definitions.
const TRUNCATED: &str = "lockstep_truncated";

/// A trigger that has to be there.
pub(super) struct Trigger {
    pub(super) table: Place,
    name: String,
    /// When it fires, as in pg_trigger.tgtype.
    kind: u32,
    /// Quoted; if there are any, updates count only if they name one of them.
    update_of: BTreeSet<String>,
    /// A condition, and the quoted column it is about.
    when: Option<(String, String)>,
    function: &'static str,
    definitions: Vec<i32>,
    always: bool,
    /// PostgreSQL itself gives it to partitions, along with the one of the whole table.
    is_copy: bool,
}

/// The table of a trigger.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) oid: u32,
    pub(super) owner: u32,
    /// The qualified name, quoted where it must be.
    pub(super) name: String,
    is_part: bool,
}

impl Place {
    fn of(table: &Relation) -> Self {
        Self {
            oid: table.oid,
            owner: table.owner,
            name: table.qualified_name(),
            is_part: false,
        }
    }

    /// The table and its partitions.
    fn all(table: &Relation) -> Vec<Self> {
        let parts = table.partitions.iter().map(|part| Self {
            oid: part.oid,
            owner: part.owner,
            name: part.name.clone(),
            is_part: true,
        });
        std::iter::once(Self::of(table)).chain(parts).collect()
    }
}

/// A trigger of ours that is there: one with a function of ours, whoever made it.
#[derive(Deserialize)]
pub(super) struct Installed {
    table: u32,
    owner: u32,
    /// The qualified name of the table, quoted where it must be.
    table_name: String,
    name: String,
    function: String,
    kind: u32,
    enabled: char,
    arguments: String,
    /// It goes with that of the whole table.
    is_copy: bool,
    /// Those that it fires for updates of, and that its condition names; quoted.
    columns: BTreeSet<String>,
}

/// What is wrong with a trigger, the worst first, as lockstep.cache_columns says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    Missing,
    Disabled,
    NotAlways,
    OnAnotherColumn,
    UpdatesHidden,
    Outdated,
    MissingOnPart,
}

impl Flaw {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Missing => "triggers missing",
            Self::Disabled => "triggers disabled",
            Self::NotAlways => "triggers do not fire always",
            Self::OnAnotherColumn => "triggers on another column",
            Self::UpdatesHidden => "updates hidden by a before trigger",
            Self::Outdated => "triggers outdated",
            Self::MissingOnPart => "partitions without triggers",
        }
    }
}

/// The triggers of ours that these tables have.
pub(super) fn installed_on(tables: &[u32]) -> Result<Vec<Installed>> {
    let query = Statement::new(
        "select coalesce(jsonb_agg(jsonb_build_object(
           'table', g.tgrelid::bigint, 'owner', c.relowner::bigint, 'table_name', format('%I.%I', cn.nspname, c.relname),
           'name', g.tgname, 'is_copy', g.tgparentid <> 0, 'function', (select p.proname from pg_proc p where p.oid = g.tgfoid), 'kind', g.tgtype, 'enabled', g.tgenabled::text,
           'arguments', encode(g.tgargs, 'escape'), 'columns', array(
             select distinct quote_ident(a.attname) from pg_depend d
               join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
              where d.classid = 'pg_trigger'::regclass and d.objid = g.oid and d.refclassid = 'pg_class'::regclass
                and d.refobjid = g.tgrelid and d.refobjsubid > 0))), '[]')::text
           from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace cn on cn.oid = c.relnamespace
          where g.tgrelid = any ($1::bigint[]::oid[]) and g.tgfoid in (
            select p.oid from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where n.nspname = 'lockstep'
               and p.proname in ('flush', 'flush_truncated', 'note_changed', 'note_arrived', 'set_false_on_insert'))",
        &[pg_sys::INT8ARRAYOID],
    );
    let tables: Vec<i64> = tables.iter().copied().map(i64::from).collect();
    let text = with_catalog_path(|| connected(|| query.text(&[datum(tables)])));
    serde_json::from_str(&text.unwrap_or_default()).map_err(|error| Error::Catalog {
        message: error.to_string(),
    })
}

impl Installed {
    /// Whether it is the row trigger of a definition on its target.
    pub(super) fn belongs_to(&self, definition: &Definition) -> bool {
        definition.target == self.table
            && self.name.starts_with(&name_of(definition.id, ""))
            && !matches!(
                self.function.as_str(),
                "flush" | "flush_truncated" | "note_changed"
            )
    }

    /// Whether it is the one that is needed.
    pub(super) fn is_one(&self, needed: &Trigger) -> bool {
        (self.table, self.name.as_str(), self.function.as_str())
            == (needed.table.oid, needed.name.as_str(), needed.function)
    }

    pub(super) fn drop(&self) -> Result<()> {
        if self.is_copy {
            return Ok(());
        }
        let name = quote_identifier(&self.name);
        change(
            self.owner,
            &format!("drop trigger {name} on {}", self.table_name),
        )
    }
}

/// The name of a row trigger of a definition.
fn name_of(id: i32, what: &str) -> String {
    format!("lockstep_{id}_{what}")
}

impl Trigger {
    fn new(table: Place, name: &str, kind: u32, function: &'static str) -> Self {
        Self {
            table,
            name: name.to_owned(),
            kind,
            update_of: BTreeSet::new(),
            when: None,
            function,
            definitions: Vec::new(),
            always: false,
            is_copy: false,
        }
    }

    fn find<'a>(&self, installed: &'a [Installed]) -> Option<&'a Installed> {
        installed.iter().find(|found| found.is_one(self))
    }

    /// What is wrong with the one that its table has.
    pub(super) fn flaw(&self, installed: &[Installed]) -> Option<Flaw> {
        let Some(found) = self.find(installed) else {
            return match (self.is_copy, self.table.is_part) {
                (true, _) => None,
                (false, true) => Some(Flaw::MissingOnPart),
                (false, false) => Some(Flaw::Missing),
            };
        };
        let mut columns = self.update_of.clone();
        columns.extend(self.when.iter().map(|(column, _)| column.clone()));
        let arguments: Vec<String> = self
            .definitions
            .iter()
            .map(|id| format!("{id}\\000"))
            .collect();
        if matches!(found.enabled, 'D' | 'R') {
            Some(Flaw::Disabled)
        } else if self.always && found.enabled != 'A' {
            Some(Flaw::NotAlways)
        } else if self.is_copy {
            None
        } else if found.columns != columns {
            Some(match self.update_of.is_empty() {
                true => Flaw::UpdatesHidden,
                false => Flaw::OnAnotherColumn,
            })
        } else if found.kind != self.kind || found.arguments != arguments.concat() {
            Some(Flaw::Outdated)
        } else {
            None
        }
    }

    /// Whether the one that its table has serves other definitions than it should; one that somebody disabled stays so.
    pub(super) fn is_changed(&self, installed: &[Installed]) -> bool {
        match self.flaw(installed) {
            Some(Flaw::Missing | Flaw::MissingOnPart | Flaw::Disabled) => false,
            Some(_) => true,
            None => !self.always && self.find(installed).is_some_and(|it| it.enabled == 'A'),
        }
    }

    /// Installs it, in the place of the one of ours that is there. It goes with the extension, though it belongs to the host's table.
    pub(super) fn install(&self, installed: &[Installed]) -> Result<()> {
        let Self { name, table, .. } = self;
        let (owner, table) = (table.owner, &table.name);
        let is_replaced = self.find(installed).is_some();
        if !self.is_copy {
            // PostgreSQL 13 cannot replace a trigger in its place, which takes no lock that readers wait for.
            let create = match is_replaced && cfg!(not(feature = "pg13")) {
                true => "create or replace trigger",
                false => "create trigger",
            };
            if is_replaced && cfg!(feature = "pg13") {
                change(owner, &format!("drop trigger {name} on {table}"))?;
            }
            change(owner, &format!("{create} {name} {}", self.action()))?;
            change(
                owner,
                &format!("alter trigger {name} on {table} depends on extension lockstep"),
            )?;
        }
        if self.always || self.is_copy {
            let always = if self.always { "always" } else { "" };
            change(
                owner,
                &format!("alter table {table} enable {always} trigger {name}"),
            )?;
        }
        Ok(())
    }

    /// What follows the name in the statement that creates it.
    fn action(&self) -> String {
        let timing = match self.kind & BEFORE {
            0 => "after",
            _ => "before",
        };
        // The update comes last, as the columns follow it.
        let events: Vec<&str> = [
            (INSERT, "insert"),
            (DELETE, "delete"),
            (TRUNCATE, "truncate"),
            (UPDATE, "update"),
        ]
        .into_iter()
        .filter_map(|(bit, event)| (self.kind & bit != 0).then_some(event))
        .collect();
        let columns: Vec<&str> = self.update_of.iter().map(String::as_str).collect();
        let of = match columns.as_slice() {
            [] => String::new(),
            columns => format!("of {}", columns.join(", ")),
        };
        let each = match self.kind & ROW {
            0 => "statement",
            _ => "row",
        };
        let when = match &self.when {
            None => String::new(),
            Some((_, condition)) => format!("when ({condition})"),
        };
        let arguments: Vec<String> = self
            .definitions
            .iter()
            .map(|id| format!("'{id}'"))
            .collect();
        format!(
            "{timing} {} {of} on {} for each {each} {when} execute function lockstep.{}({})",
            events.join(" or "),
            self.table.name,
            self.function,
            arguments.join(", ")
        )
    }
}

/// The row triggers of one definition, all on its target: that on the source is shared.
pub(super) fn row_triggers(resolved: &Resolved) -> Vec<Trigger> {
    let definition = &resolved.definition;
    let target = &resolved.target;
    let column = resolved.column.quoted();
    let key = resolved.primary_key.quoted();
    let trigger = |what: &str, kind: u32, function: &'static str| {
        let name = name_of(definition.id, what);
        let mut trigger = Trigger::new(Place::of(target), &name, kind | ROW, function);
        trigger.definitions = vec![definition.id];
        trigger.always = definition.fire_always;
        trigger
    };
    // A BEFORE trigger can change columns that an update does not name, so on a table with one all updates count.
    let update_of = |column: &str| match target.rewrites_updates {
        true => BTreeSet::new(),
        false => BTreeSet::from([column.to_owned()]),
    };
    let wrong = if definition.guard {
        "is not false"
    } else {
        "is null"
    };
    let mut default = trigger("default", BEFORE | INSERT, "set_false_on_insert");
    default.when = Some((column.clone(), format!("new.{column} {wrong}")));
    let mut triggers = vec![default];
    if !resolved.reference.excludes_arrival {
        triggers.push(trigger("arrived", INSERT, "note_arrived"));
    }
    if !resolved.reference.excludes_shift {
        let mut rekeyed = trigger("rekeyed", UPDATE, "note_arrived");
        rekeyed.update_of = update_of(&key);
        // PostgreSQL copies the text of each WHEN for every update of the table. Where the update names the key, which it
        // seldom does, it hardly ever leaves it as it is.
        rekeyed.when = target.rewrites_updates.then(|| {
            (
                key.clone(),
                format!("old.{key} operator(pg_catalog.<>) new.{key}"),
            )
        });
        triggers.push(rekeyed);
    }
    if definition.guard {
        let mut guard = trigger("guard", UPDATE, "note_arrived");
        guard.update_of = update_of(&column);
        let condition = format!("(old.{column} operator(pg_catalog.=) new.{column}) is not true");
        guard.when = Some((column, condition));
        triggers.push(guard);
    }
    triggers
}

/// The triggers that a table and its partitions need for all definitions it takes part in.
pub(super) fn shared_triggers(table: &Relation, definitions: &[Definition]) -> Vec<Trigger> {
    let mut needs = Needs::default();
    for definition in definitions {
        needs.add(table, definition);
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
    triggers
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
    /// One that cannot be kept now keeps what it has of the source's triggers, so that it stops writes rather than go wrong.
    fn add(&mut self, table: &Relation, definition: &Definition) {
        self.always |= definition.fire_always;
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
            self.definitions.push(definition.id);
        }
        if definition.target == table.oid
            && let Ok(resolved) = definition.clone().resolve()
        {
            self.insert |= !resolved.reference.excludes_arrival;
            if !resolved.reference.excludes_shift {
                self.update_of.insert(resolved.primary_key.quoted());
            }
            if definition.guard {
                self.update_of.insert(resolved.column.quoted());
            }
        }
    }

    /// One for all definitions and events, without a WHEN: PostgreSQL copies the triggers of a table for each statement and
    /// parses each WHEN, and keeps an event for each trigger that a row fires.
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
        trigger.definitions.clone_from(&self.definitions);
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
            triggers.push(Trigger::new(place, TRUNCATED, TRUNCATE, "flush_truncated"));
        }
        for trigger in &mut triggers {
            trigger.always = self.always;
        }
        triggers
    }
}
