//! New target rows: without a value they get false, since nothing refers to them yet.

use super::definition::Definition;
use super::row::definition_argument;
use crate::error::{Error, OrRaise, Result};
use crate::host;
use pgrx::datum::TryFromDatumError;
use pgrx::pg_sys::Oid;
use pgrx::prelude::*;
use std::cell::RefCell;

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

/// The column that the last trigger was for, and the generation of table descriptions it was learned from.
struct Last {
    generation: u64,
    trigger: Oid,
    column: String,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

fn target_column(trigger: &PgTrigger) -> Result<String> {
    let generation = host::generation();
    let oid = trigger.trigger().tgoid;
    let known = LAST.with_borrow(|last| {
        last.as_ref()
            .filter(|last| last.generation == generation && last.trigger == oid)
            .map(|last| last.column.clone())
    });
    if let Some(column) = known {
        return Ok(column);
    }
    let table = trigger.relid().map_err(|error| Error::Catalog {
        message: error.to_string(),
    })?;
    host::watch(table);
    let definition = Definition::load(definition_argument(trigger)?)?;
    let relation = host::Relation::describe(table.to_u32())?;
    if !relation.ancestors.contains(&definition.target) {
        let trigger = trigger.name().unwrap_or_default().to_owned();
        return Err(Error::NotInstalledOn {
            trigger,
            table: relation.qualified_name(),
        });
    }
    let column = relation.column(&definition.target_column)?.name.clone();
    LAST.set(Some(Last {
        generation,
        trigger: oid,
        column: column.clone(),
    }));
    Ok(column)
}
