//! Changing the application's tables: who may, and how.

use super::relation::Relation;
use crate::error::{Error, Result};
use crate::server::{Statement, as_owner, connected, datum, has_rights_of, with_catalog_path};
use pgrx::pg_sys;
use pgrx::prelude::*;

/// Runs a statement that changes a table of `owner`, with his rights and no others.
pub(crate) fn change(owner: u32, statement: &str) -> Result<()> {
    as_owner(pg_sys::Oid::from(owner), || run(statement))
}

/// Runs a statement with the rights of whoever calls.
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
        let statement = format!(
            "lock table {} in share row exclusive mode",
            table.qualified_name()
        );
        let _ = change(table.owner, &statement);
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

/// What tells of rows is for those who could read them all themselves.
pub(crate) fn check_may_read(table: &Relation) -> Result<()> {
    if has_rights_of(pg_sys::Oid::from(table.owner)) {
        return Ok(());
    }
    let query = Statement::new(
        "select 'yes' from pg_class c
          where c.oid = $1 and has_schema_privilege(c.relnamespace, 'usage') and has_table_privilege(c.oid, 'select')
            and not row_security_active(c.oid)",
        &[pg_sys::OIDOID],
    );
    let argument = datum(pg_sys::Oid::from(table.oid));
    match with_catalog_path(|| connected(|| query.text(&[argument]))) {
        Some(_) => Ok(()),
        None => Err(Error::MayNotRead {
            table: table.qualified_name(),
        }),
    }
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
