//! The row triggers: each notes one target key and returns. What counts as gained or lost stands in the WHEN clause of the
//! trigger, so a row that does not matter never gets here.

use super::flush;
use super::keeper::keeper;
use super::known::{Known, table_fired_on};
use super::row::{Row, definition_argument, is_logical_worker};
use super::triggers::FLUSH;
use crate::error::{OrRaise, Result};
use crate::host::IntegerWidth;
use crate::pending::{self, Change};
use pgrx::prelude::*;
use std::cell::RefCell;
use std::num::NonZeroUsize;

/// AFTER INSERT or UPDATE of a source row that matches now, under this key, and did not before.
#[pg_trigger(sql = "
create function lockstep.note_gained() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_gained() is 'row trigger of a source: a matching row exists under this key now';")]
fn note_gained<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let fired = Fired::by(trigger, Side::Source).or_raise();
    let row = Row::new_of(trigger);
    let change = if fired.is_heap && row.is_latest() {
        Change::Gained
    } else {
        Change::Lost
    };
    fired.note(&row, change).or_raise();
    Ok(None)
}

/// AFTER UPDATE or DELETE of a source row that matched under this key, and does not any more.
#[pg_trigger(sql = "
create function lockstep.note_lost() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_lost() is 'row trigger of a source: a matching row is gone from under this key';")]
fn note_lost<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    Fired::by(trigger, Side::Source)
        .or_raise()
        .note(&Row::old_of(trigger), Change::Lost)
        .or_raise();
    Ok(None)
}

/// AFTER INSERT of a target row, or UPDATE of its key or of the cache column: the value has to be looked up.
#[pg_trigger(sql = "
create function lockstep.note_arrived() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_arrived() is 'row trigger of a target: look what the cache column of this row must be';")]
fn note_arrived<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let fired = Fired::by(trigger, Side::Target).or_raise();
    let row = Row::new_of(trigger);
    fired.note(&row, Change::Arrived).or_raise();
    Ok(None)
}

/// Which table of the definition a trigger is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Source,
    Target,
}

/// What a trigger needs to know of itself and its table, learned at its first row.
#[derive(Clone, Copy)]
struct Fired {
    definition: i32,
    key_number: NonZeroUsize,
    key_width: IntegerWidth,
    is_heap: bool,
    /// No statement trigger will flush: a partition that was attached later, or a logical replication worker.
    flush_at_once: bool,
}

thread_local! {
    static KNOWN: RefCell<Known<Fired>> = const { RefCell::new(Known::new()) };
}

impl Fired {
    fn by(trigger: &PgTrigger, side: Side) -> Result<Self> {
        let oid = trigger.trigger().tgoid;
        KNOWN.with(|known| Known::get_or_learn(known, oid, || Self::learn(trigger, side)))
    }

    #[cold]
    fn learn(trigger: &PgTrigger, side: Side) -> Result<Self> {
        let keeper = keeper(definition_argument(trigger)?)?;
        let resolved = &keeper.resolved;
        let (whole, key) = match side {
            Side::Source => (&resolved.source, &resolved.key),
            Side::Target => (&resolved.target, &resolved.primary_key),
        };
        let relation = table_fired_on(trigger, whole)?;
        let key = relation.integer_column(&key.name)?;
        Ok(Self {
            definition: resolved.definition.id,
            key_number: NonZeroUsize::new(key.number as usize).unwrap_or(NonZeroUsize::MIN),
            key_width: key.integer_width().unwrap_or(IntegerWidth::Eight),
            is_heap: relation.is_heap(),
            flush_at_once: is_logical_worker()
                || !relation
                    .triggers()
                    .iter()
                    .any(|trigger| trigger.name == FLUSH),
        })
    }

    fn note(&self, row: &Row, change: Change) -> Result<()> {
        // A row without a key belongs to no target.
        if let Some(key) = row.integer(self.key_number, self.key_width)
            && !(change == Change::Arrived && flush::is_writing(self.definition, key))
        {
            pending::note(self.definition, key, change);
            if self.flush_at_once {
                flush::flush()?;
            }
        }
        Ok(())
    }
}
