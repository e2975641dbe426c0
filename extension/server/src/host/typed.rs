//! Columns of the type that they are expected to have.

use super::column::Column;
use super::relation::Relation;
use crate::error::{HostError, Result};
use pgrx::pg_sys;

/// A column of integers.
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

/// A column of times, with their zone or without.
pub fn time<'a>(table: &'a Relation, name: &str) -> Result<&'a Column> {
    typed(table, name, "timestamp", |column| {
        matches!(
            column.type_oid(),
            pg_sys::TIMESTAMPOID | pg_sys::TIMESTAMPTZOID
        )
    })
}

/// A column of PostgreSQL's own types: that of another may run code of whoever made it.
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
