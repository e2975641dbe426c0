//! New target rows: a null becomes false, because nothing refers to them yet.

use super::known::{definition_argument, table_fired_on};
use crate::cache_column::defined::Definition;
use crate::error::{OrRaise, Result};
use lockstep_server::host::{Known, Relation};
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// BEFORE INSERT of a target row whose cache column is null or, under a guard, not false.
#[pg_trigger(sql = "
create function lockstep_internal.set_false_on_insert() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_internal.set_false_on_insert() is 'row trigger of a target: a new row starts with false';")]
fn set_false_on_insert<'a>(
    trigger: &'a PgTrigger<'a>,
) -> Result<Option<PgHeapTuple<'a, AllocatedByRust>>, TryFromDatumError> {
    let column = target_column(trigger).or_raise();
    let Some(row) = trigger.new() else {
        return Ok(None);
    };
    let mut row = row.into_owned();
    row.set_by_name(&column, false)?;
    Ok(Some(row))
}

thread_local! {
    static KNOWN: RefCell<Known<Oid, Rc<str>>> = const { RefCell::new(Known::new()) };
}

fn target_column(trigger: &PgTrigger) -> Result<Rc<str>> {
    let oid = trigger.trigger().tgoid;
    KNOWN.with(|known| Known::get_or_learn(known, oid, || learn_target_column(trigger)))
}

#[cold]
fn learn_target_column(trigger: &PgTrigger) -> Result<Rc<str>> {
    // Only the target is needed, so that its rows can be written after the source is gone.
    let definition = Definition::known(definition_argument(trigger)?)?;
    let target = Relation::describe(definition.target)?;
    let table = table_fired_on(trigger, &target)?;
    Ok(Rc::from(
        table.column(&definition.target_column)?.name.as_str(),
    ))
}
