//! Changing the application's tables: who may, and how.

use super::relation::Relation;
use crate::error::{Error, Result};
use crate::server::{Statement, connected, datum, has_rights_of, with_catalog_path};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Runs a statement that changes a table.
pub(crate) fn run(statement: &str) -> Result<()> {
    Spi::run(statement).map_err(|error| Error::Catalog {
        message: error.to_string(),
    })
}

/// Whoever reads or writes these rows waits until the triggers are there, and the checks hold until then.
pub(crate) fn lock_tables(tables: &[&Relation]) {
    let mut tables = tables.to_vec();
    tables.sort_by_key(|table| table.oid);
    for table in tables {
        // Cannot fail but by raising an error itself.
        let _ = run(&format!(
            "lock table {} in share row exclusive mode",
            table.qualified_name()
        ));
    }
}

/// Only the owner of a table decides what its columns are derived from, and what is derived from them.
pub(crate) fn check_is_owner(table: &Relation) -> Result<()> {
    if has_rights_of(pg_sys::Oid::from(table.owner)) {
        return Ok(());
    }
    let query = Statement::new("select current_user::text", &[]);
    let role = with_catalog_path(|| connected(|| query.text(&[])));
    Err(Error::NotOwner {
        table: table.qualified_name(),
        role: role.unwrap_or_default(),
    })
}

/// What is derived from a table shows its contents, so the owner of the table that holds what is derived must be one who
/// may read it anyway.
pub(crate) fn check_owner_may_read(holder: &Relation, table: &Relation) -> Result<()> {
    let query = Statement::new(
        "select case when not has_table_privilege($1, $2, 'select') then pg_get_userbyid($1)::text end",
        &[pg_sys::OIDOID, pg_sys::OIDOID],
    );
    let arguments = [holder.owner, table.oid].map(|oid| datum(pg_sys::Oid::from(oid)));
    match with_catalog_path(|| connected(|| query.text(&arguments))) {
        None => Ok(()),
        Some(owner) => Err(Error::OwnerMayNotRead {
            holder: holder.qualified_name(),
            owner,
            table: table.qualified_name(),
        }),
    }
}
