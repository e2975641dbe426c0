//! Constraints that can be deferred. PostgreSQL refuses to queue a trigger for the end of the transaction while code acts for the
//! owner of a table, so a write of ours that would queue one fails, and with it the application's statement.

use super::relation::Relation;
use crate::error::{HostError, Result};
use crate::{Statement, View, connected, datum, with_catalog_path};
use pgrx::pg_sys::{
    self, TRIGGER_TYPE_DELETE as DELETE, TRIGGER_TYPE_INSERT as INSERT,
    TRIGGER_TYPE_UPDATE as UPDATE,
};

/// What is written in a table with its owner's rights.
#[derive(Clone, Copy)]
pub enum Writes<'a> {
    /// This column of rows that are there. A foreign key is checked even so if the transaction has written the row before.
    Column(&'a str),
    /// Rows come and change.
    RowsCome,
    /// They go as well.
    Rows,
}

impl Relation {
    /// Checks that no constraint or constraint trigger of the table or a partition can defer what a write of ours makes it check.
    pub fn check_defers_nothing(&self, writes: Writes) -> Result<()> {
        // A change of other columns than the key is nothing to those who refer to it. A unique key is checked again only for a row
        // that has a duplicate at that moment.
        let query = Statement::new(
            "select format('%I.%I', n.nspname, c.relname), coalesce(k.conname, g.tgname)::text
               from pg_trigger g join pg_class c on c.oid = g.tgrelid join pg_namespace n on n.oid = c.relnamespace
               left join pg_constraint k on k.oid = g.tgconstraint
              where g.tgrelid = any ($1::bigint[]::oid[]) and g.tgdeferrable and g.tgenabled <> 'D' and g.tgtype & $2 <> 0
                and g.tgfoid <> all (array['unique_key_recheck', '\"RI_FKey_noaction_upd\"']::regproc[])
                and ($3 = '' or g.tgattr::text = '' or exists (
                  select from pg_attribute a where a.attrelid = g.tgrelid and a.attname = $3 and a.attnum = any (g.tgattr::smallint[])))
              order by array_position($1, g.tgrelid::bigint), 2 limit 1",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT4OID, pg_sys::TEXTOID],
        );
        let (events, column) = match writes {
            Writes::Column(column) => (UPDATE, column),
            Writes::RowsCome => (INSERT | UPDATE, ""),
            Writes::Rows => (INSERT | UPDATE | DELETE, ""),
        };
        let parts = self.partitions.iter().map(|part| part.oid);
        let tables: Vec<i64> = std::iter::once(self.oid)
            .chain(parts)
            .map(i64::from)
            .collect();
        let arguments = [datum(tables), datum(events as i32), datum(column)];
        let mut found = None;
        with_catalog_path(|| {
            connected(|| {
                query.rows(View::NewestReadOnly, &arguments, |row| {
                    found = row.get::<String>(1).zip(row.get::<String>(2));
                });
            });
        });
        match found {
            Some((table, constraint)) => Err(HostError::Deferrable { table, constraint }.into()),
            None => Ok(()),
        }
    }
}
