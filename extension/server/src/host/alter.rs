//! Changes to the application's tables: permissions, and how they are made.

use super::described::read_again;
use super::relation::Relation;
use crate::error::{HostError, Result, ServerError};
use crate::shard::allowing_triggers;
use crate::{
    Rights, Statement, View, as_owner, connected, datum, has_rights_of, with_catalog_path,
};
use pgrx::pg_sys::{self, Oid};
use pgrx::prelude::*;
use std::mem::ManuallyDrop;

/// Runs a statement that changes a table, with the rights of its owner only.
pub fn change(owner: &Rights, statement: &str) -> Result<()> {
    as_owner(owner, || run(statement))
}

/// Runs a statement with the caller's rights.
pub fn run(statement: &str) -> Result<()> {
    allowing_triggers(|| Spi::run(statement)).map_err(ServerError::catalog)?;
    read_again();
    Ok(())
}

/// Writers wait until the triggers are installed, and the checks stay valid until then.
pub fn lock_tables(tables: &[&Relation]) {
    let mut tables = tables.to_vec();
    tables.sort_by_key(|table| table.oid);
    for table in tables {
        // Fails only by raising an error itself.
        let statement = format!(
            "lock table {} in share row exclusive mode",
            table.qualified_name()
        );
        let _ = change(&table.rights(), &statement);
    }
}

/// Checks that the caller has all these privileges on the tables and on all their rows, so that the work may be done with the
/// owner's rights.
pub fn check_may(tables: &[&Relation], privileges: &[&str]) -> Result<()> {
    thread_local! {
        // Kept, because planning takes longer than running. Never dropped: when the process ends, the memory of its plans may
        // already be gone.
        static QUERY: ManuallyDrop<Statement> = ManuallyDrop::new(Statement::new(
            "select format('%I.%I', n.nspname, c.relname), lacks.what
               from unnest($1) with ordinality t (oid, place) join pg_class c on c.oid = t.oid join pg_namespace n on n.oid = c.relnamespace
               join lateral (
                 select 'usage' where not has_schema_privilege(n.oid, 'usage')
                 union all
                 select p.name from unnest($2) p (name) where not has_table_privilege(c.oid, p.name)
                 union all
                 select null where row_security_active(c.oid)) lacks (what) on true
              order by t.place limit 1",
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

/// Checks that one role owns all the tables, so that a statement on all of them never runs one role's code with another's rights.
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

/// Only the owner of a table decides what its columns are derived from and what is derived from them.
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

/// A derived column reveals the contents of its source, so the owner of the table that holds it must be allowed to read the
/// source.
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
