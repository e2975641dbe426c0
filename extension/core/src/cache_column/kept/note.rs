//! The row triggers: each notes the target keys of one row. They fire for updates only if these name a relevant column.

use super::flush;
use super::keeper::keeper;
use super::known::{definition_argument, definition_arguments, part_fired_on, table_fired_on};
use super::pending::{self, Change};
use crate::cache_column::defined::{Definition, FLUSH, Test};
use crate::error::{HostError, OrRaise, Result};
use lockstep_server::host::{IntegerWidth, Known, Relation};
use lockstep_server::row::{Row, Stored, is_logical_worker, is_replica};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// AFTER INSERT, UPDATE or DELETE of a source row.
#[pg_trigger(sql = "
create function lockstep_internal.note_changed() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.note_changed() is 'row trigger of a source: notes under which keys a matching row came or went';")]
fn note_changed<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let noting = Noting::by(trigger, Side::Source).or_raise();
    let (old, new) = Row::versions_of(trigger);
    for part in noting.iter().filter(|part| part.is_on()) {
        part.note_changed(old.as_ref(), new.as_ref()).or_raise();
    }
    Ok(None)
}

/// AFTER INSERT of a target row, or UPDATE of its key or cache column: the value must be recomputed. So must that of a row that the same
/// statement inserts under a key which the update has left.
#[pg_trigger(sql = "
create function lockstep_internal.note_arrived() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.note_arrived() is 'row trigger of a target: look what the cache column of this row must be';")]
fn note_arrived<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let noting = match Noting::by(trigger, Side::Target) {
        // If this is the target, the source is gone and no row has a match any more; new rows have already been set to false.
        Err(error) if matches!(error.topic(), Some(HostError::NoSuchTable { .. })) => {
            let definition = definition_argument(trigger)
                .and_then(Definition::known)
                .or_raise();
            part_fired_on(trigger, definition.target).or_raise();
            return Ok(None);
        }
        noting => noting.or_raise(),
    };
    let (old, new) = Row::versions_of(trigger);
    for part in noting.iter() {
        part.note_arrived(old.as_ref(), new.as_ref()).or_raise();
    }
    Ok(None)
}

/// Which table of the definition a trigger is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// What a trigger needs to know about its table and one definition, read at its first row.
struct Noting {
    definition: i32,
    fire_always: bool,
    key_number: NonZeroUsize,
    key_width: IntegerWidth,
    /// The relevant columns: while they stay the same, so does the match.
    columns: Vec<Stored>,
    /// The tests that a row must pass to match.
    tests: Vec<Test>,
    is_heap: bool,
    /// No statement trigger will flush: a partition that was attached later, or a logical replication worker.
    flush_at_once: bool,
}

thread_local! {
    static KNOWN: RefCell<Known<Oid, Rc<[Noting]>>> = const { RefCell::new(Known::new()) };
}

impl Noting {
    fn by(trigger: &PgTrigger, side: Side) -> Result<Rc<[Self]>> {
        let oid = trigger.trigger().tgoid;
        KNOWN.with(|known| Known::get_or_learn(known, oid, || Self::learn_all(trigger, side)))
    }

    /// One for each definition that the trigger serves.
    #[cold]
    fn learn_all(trigger: &PgTrigger, side: Side) -> Result<Rc<[Self]>> {
        let definitions = match side {
            Side::Source => definition_arguments(trigger)?,
            Side::Target => vec![definition_argument(trigger)?],
        };
        let mut learned = Vec::new();
        for definition in definitions {
            match Self::learn(trigger, side, definition) {
                // If this is the source, the target is gone and there is nothing to maintain.
                Err(error)
                    if side == Side::Source
                        && matches!(error.topic(), Some(HostError::NoSuchTable { .. })) =>
                {
                    part_fired_on(trigger, Definition::known(definition)?.source)?;
                }
                noting => learned.push(noting?),
            }
        }
        Ok(Rc::from(learned))
    }

    #[cold]
    fn learn(trigger: &PgTrigger, side: Side, definition: i32) -> Result<Self> {
        let keeper = keeper(definition)?;
        let resolved = &keeper.resolved;
        let (whole, key) = match side {
            Side::Source => (&resolved.source, &resolved.key),
            Side::Target => (&resolved.target, &resolved.primary_key),
        };
        let relation = table_fired_on(trigger, whole)?;
        let key = relation.integer_column(&key.name)?;
        let mut columns = vec![Stored::new(key)];
        let mut tests = Vec::new();
        if side == Side::Source {
            for condition in &resolved.conditions {
                let column = relation.column(&condition.column.name)?;
                columns.push(Stored::new(column));
                tests.push(Test::new(condition, column)?);
            }
        }
        Ok(Self {
            definition: resolved.definition.id,
            fire_always: resolved.definition.fire_always,
            key_number: key.place(),
            columns,
            tests,
            key_width: key.integer_width().unwrap_or(IntegerWidth::Eight),
            is_heap: relation.is_heap,
            flush_at_once: is_logical_worker() || !has_flush(&relation),
        })
    }

    /// Definitions share a trigger, and it fires in every role if one of them asks for that.
    fn is_on(&self) -> bool {
        self.fire_always || !is_replica()
    }

    fn note_changed(&self, old: Option<&Row>, new: Option<&Row>) -> Result<()> {
        if let (Some(old), Some(new)) = (old, new)
            && new.has_same(old, &self.columns)
        {
            // It wrote the relevant columns without changing them, as when active rows are activated.
            return Ok(());
        }
        if let Some(new) = new.filter(|row| self.is_matched_by(row)) {
            let is_certain = self.is_heap && new.is_latest();
            let change = if is_certain {
                Change::Gained
            } else {
                Change::Lost
            };
            self.note(new, change)?;
        }
        if let Some(old) = old.filter(|row| self.is_matched_by(row)) {
            self.note(old, Change::Lost)?;
        }
        Ok(())
    }

    fn note_arrived(&self, old: Option<&Row>, new: Option<&Row>) -> Result<()> {
        let Some(new) = new else { return Ok(()) };
        self.note(new, Change::Arrived)?;
        match old {
            Some(old) if !new.has_same(old, &self.columns) => self.note(old, Change::Arrived),
            _ => Ok(()),
        }
    }

    fn is_matched_by(&self, row: &Row) -> bool {
        self.tests.iter().all(|test| test.is_passed_by(row))
    }

    fn note(&self, row: &Row, change: Change) -> Result<()> {
        // A row without a key belongs to no target.
        if let Some(key) = row.integer(self.key_number, self.key_width)
            && !(change == Change::Arrived && flush::is_writing(self.definition, key))
        {
            pending::note(self.definition, key, change)?;
            if self.flush_at_once {
                flush::flush()?;
            }
        }
        Ok(())
    }
}

/// Whether a statement trigger on the table flushes. On a shard the name ends with the shard's number.
fn has_flush(table: &Relation) -> bool {
    let mut ours = table.triggers().iter().filter(|it| it.function.is_some());
    ours.any(|it| it.name.starts_with(FLUSH))
}
