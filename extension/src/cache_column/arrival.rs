//! New target rows: without a value they get false, since nothing refers to them yet.

use super::keeper::keeper;
use super::known::{Known, table_fired_on};
use super::row::definition_argument;
use crate::error::{OrRaise, Result};
use pgrx::datum::TryFromDatumError;
use pgrx::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

/// BEFORE INSERT of a target row whose cache column is null, or, under a guard, not false.
#[pg_trigger(sql = "
create function lockstep.set_false_on_insert() returns trigger language c as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.set_false_on_insert() is 'row trigger of a target: a new row starts with false';")]
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
    static KNOWN: RefCell<Known<Rc<str>>> = const { RefCell::new(Known::new()) };
}

fn target_column(trigger: &PgTrigger) -> Result<Rc<str>> {
    let oid = trigger.trigger().tgoid;
    KNOWN.with(|known| Known::get_or_learn(known, oid, || learn_target_column(trigger)))
}

#[cold]
fn learn_target_column(trigger: &PgTrigger) -> Result<Rc<str>> {
    let keeper = keeper(definition_argument(trigger)?)?;
    let resolved = &keeper.resolved;
    table_fired_on(trigger, &resolved.target)?;
    Ok(Rc::from(resolved.column.name.as_str()))
}
