//! Tables found by name alone.

use crate::{Statement, View, connected, datum, with_catalog_path};
use pgrx::pg_sys;

/// The tables with that name, in any schema.
pub fn tables_named(name: &str) -> Vec<u32> {
    let query = Statement::new(
        "select c.oid::bigint from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relname = $1 and c.relkind in ('r', 'p') and n.nspname !~ '^pg_'",
        &[pg_sys::TEXTOID],
    );
    let mut tables = Vec::new();
    with_catalog_path(|| {
        connected(|| {
            query.rows(View::NewestReadOnly, &[datum(name)], |row| {
                tables.extend(row.get::<i64>(1).map(|oid| oid as u32));
            });
        });
    });
    tables
}
