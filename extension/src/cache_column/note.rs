//! The row triggers: each notes one target key and returns. Their WHEN clauses let only rows through that match, and for an
//! update only if it names a column in play, so a row that does not matter never gets here.

use super::flush;
use super::keeper::keeper;
use super::known::table_fired_on;
use super::row::{Row, Stored, definition_argument, is_logical_worker};
use super::triggers::FLUSH;
use crate::error::{Error, OrRaise, Result};
use crate::host::{IntegerWidth, Known};
use crate::pending::{self, Change};
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::num::NonZeroUsize;
use std::rc::Rc;

/// AFTER INSERT or UPDATE of a source row that matches now.
#[pg_trigger(sql = "
create function lockstep.note_gained() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_gained() is 'row trigger of a source: a matching row exists under this key now';")]
fn note_gained<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let fired = Fired::by(trigger, Side::Source).or_raise();
    let row = Row::new_of(trigger);
    if fired.is_unchanged(trigger, &row) {
        return Ok(None);
    }
    let change = if fired.is_heap && row.is_latest() {
        Change::Gained
    } else {
        Change::Lost
    };
    fired.note(&row, change).or_raise();
    Ok(None)
}

/// AFTER UPDATE or DELETE of a source row that matched before.
#[pg_trigger(sql = "
create function lockstep.note_lost() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_lost() is 'row trigger of a source: a matching row is gone from under this key';")]
fn note_lost<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let fired = Fired::by(trigger, Side::Source).or_raise();
    let row = Row::old_of(trigger);
    if !fired.is_unchanged(trigger, &row) {
        fired.note(&row, Change::Lost).or_raise();
    }
    Ok(None)
}

/// AFTER INSERT of a target row, or UPDATE of its key or of the cache column: the value has to be looked up.
#[pg_trigger(sql = "
create function lockstep.note_arrived() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.note_arrived() is 'row trigger of a target: look what the cache column of this row must be';")]
fn note_arrived<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByPostgres>>> {
    let fired = match Fired::by(trigger, Side::Target) {
        // This table is there, so the source is gone, and no row has a match any more: new ones have got false already.
        Err(Error::NoSuchTable { .. }) => return Ok(None),
        fired => fired.or_raise(),
    };
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
#[derive(Clone)]
struct Fired {
    definition: i32,
    key_number: NonZeroUsize,
    key_width: IntegerWidth,
    /// The columns in play: while they stay the same, so does the match.
    columns: Rc<[Stored]>,
    is_heap: bool,
    /// No statement trigger will flush: a partition that was attached later, or a logical replication worker.
    flush_at_once: bool,
}

thread_local! {
    static KNOWN: RefCell<Known<Oid, Fired>> = const { RefCell::new(Known::new()) };
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
        let mut columns = vec![key];
        if side == Side::Source {
            for condition in &resolved.conditions {
                columns.push(relation.column(&condition.column.name)?);
            }
        }
        Ok(Self {
            definition: resolved.definition.id,
            key_number: key.place(),
            columns: columns.into_iter().map(Stored::new).collect(),
            key_width: key.integer_width().unwrap_or(IntegerWidth::Eight),
            is_heap: relation.is_heap(),
            flush_at_once: is_logical_worker() || relation.trigger(FLUSH).is_none(),
        })
    }

    /// An update that wrote the columns in play, but nothing new, as when rows that are active are activated.
    fn is_unchanged(&self, trigger: &PgTrigger, row: &Row) -> bool {
        Row::other_version(trigger, row).is_some_and(|other| row.has_same(&other, &self.columns))
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
