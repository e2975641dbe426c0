//! Columns of an expected type.

use super::column::Column;
use super::relation::Relation;
use crate::error::{HostError, Result};
use pgrx::pg_sys;

/// An integer column.
pub fn integer<'a>(table: &'a Relation, name: &str) -> Result<&'a Column> {
    typed(table, name, "bigint", |column| {
        column.integer_width().is_some()
    })
}

pub fn integer_array<'a>(table: &'a Relation, name: &str) -> Result<&'a Column> {
    typed(table, name, "bigint[]", Column::is_integer_array)
}

pub fn text<'a>(table: &'a Relation, name: &str) -> Result<&'a Column> {
    typed(table, name, "text", Column::is_text)
}

/// A timestamp column, with or without time zone.
pub fn time<'a>(table: &'a Relation, name: &str) -> Result<&'a Column> {
    typed(table, name, "timestamp", |column| {
        matches!(
            column.type_oid(),
            pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID
        )
    })
}

/// A column of a built-in type: another type could run its owner's code.
fn typed<'a>(
    table: &'a Relation,
    name: &str,
    expected: &'static str,
    is_expected: impl Fn(&Column) -> bool,
) -> Result<&'a Column> {
    let column = table.column(name)?;
    if is_expected(column) {
        return Ok(column);
    }
    Err(HostError::HostColumnType {
        table: table.qualified_name(),
        column: column.name.clone(),
        actual: column.type_name.clone(),
        expected,
    }
    .into())
}
