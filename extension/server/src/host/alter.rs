//! Changing the application's tables: who may, and how.

use super::relation::{Relation, read_again};
use crate::error::{HostError, Result, ServerError};
use crate::{Statement, View, as_owner, connected, datum, has_rights_of, with_catalog_path};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::mem::ManuallyDrop;

/// Runs a statement that changes a table of `owner`, with his rights and no others.
pub fn change(owner: u32, statement: &str) -> Result<()> {
    as_owner(Oid::from(owner), || run(statement))
}

/// Runs a statement with the rights of whoever calls.
pub fn run(statement: &str) -> Result<()> {
    Spi::run(statement).map_err(ServerError::catalog)?;
    read_again();
    Ok(())
}

/// Whoever reads or writes these rows waits until the triggers are there, and the checks hold until then.
pub fn lock_tables(tables: &[&Relation]) {
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

/// Whoever calls may do all this to the tables, and to all their rows: then it can be done for him with the rights of their owner.
pub fn check_may(tables: &[&Relation], privileges: &[&str]) -> Result<()> {
    thread_local! {
        // Kept, as it takes longer to plan than to run. Never dropped: at the end of the process the memory that the plans live in may be
        // gone already.
        static QUERY: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
            "select format('%I.%I', n.nspname, c.relname), lacks.what
               from unnest($1) t (oid) join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
               join lateral (
                 select 'usage' where not has_schema_privilege(n.oid, 'usage')
                 union all
                 select p.name from unnest($2) p (name) where not has_table_privilege(c.oid, p.name)
                 union all
                 select null where row_security_active(c.oid)) lacks (what) on true
              limit 1",
            &[pg_sys::OIDARRAYOID, pg_sys::TEXTARRAYOID],
        ));
    }
    let oids: Vec<Oid> = tables.iter().map(|table| Oid::from(table.oid)).collect();
    let arguments = [datum(oids), datum(privileges.to_vec())];
    let mut lacks = None;
    QUERY.with(|query| {
        with_catalog_path(|| {
            connected(|| {
                query.rows(View::NewestReadOnly, &arguments, |row| {
                    lacks = row
                        .get::<String>(1)
                        .map(|table| (table, row.get::<String>(2)));
                })
            })
        })
    });
    match lacks {
        None => Ok(()),
        Some((table, Some(privilege))) => Err(HostError::MayNot { table, privilege }.into()),
        Some((table, None)) => Err(HostError::RowSecurity { table }.into()),
    }
}

/// One role owns all the tables, so that a statement on all of them runs nobody's code with another's rights.
pub fn check_have_one_owner(tables: &[&Relation]) -> Result<()> {
    match tables
        .windows(2)
        .find(|pair| pair[0].owner != pair[1].owner)
    {
        None => Ok(()),
        Some(pair) => Err(HostError::SeveralOwners {
            one: pair[0].qualified_name(),
            other: pair[1].qualified_name(),
        }
        .into()),
    }
}

/// Only the owner of a table decides what its columns are derived from, and what is derived from them.
pub fn check_is_owner(table: &Relation) -> Result<()> {
    if has_rights_of(pg_sys::Oid::from(table.owner)) {
        return Ok(());
    }
    let query = Statement::new("select current_user::text", &[]);
    let role = with_catalog_path(|| connected(|| query.text(&[])));
    Err(HostError::NotOwner {
        table: table.qualified_name(),
        role: role.unwrap_or_default(),
    }
    .into())
}

/// What is derived from a table shows its contents, so the owner of the table that holds what is derived must be one who
/// may read it anyway.
pub fn check_owner_may_read(holder: &Relation, table: &Relation) -> Result<()> {
    let query = Statement::new(
        "select case when not has_table_privilege($1, $2, 'select') then pg_get_userbyid($1)::text end",
        &[pg_sys::OIDOID, pg_sys::OIDOID],
    );
    let arguments = [holder.owner, table.oid].map(|oid| datum(pg_sys::Oid::from(oid)));
    match with_catalog_path(|| connected(|| query.text(&arguments))) {
        None => Ok(()),
        Some(owner) => Err(HostError::OwnerMayNotRead {
            holder: holder.qualified_name(),
            owner,
            table: table.qualified_name(),
        }
        .into()),
    }
}
