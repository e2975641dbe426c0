//! The extension's own tables, which callers need no rights on: what they may do has been checked on theirs.

use crate::cache_column::extension_owner;
use crate::error::Result;
use crate::host::Known;
use crate::statement::{Answer, Statement, View, as_extension_owner, connected, with_catalog_path};
use pgrx::pg_sys::{Datum, Oid};
use std::cell::RefCell;

/// A statement on the extension's tables.
pub(super) struct OwnStatement(Statement);

impl OwnStatement {
    pub(super) fn new(text: &str, parameters: &[Oid]) -> Self {
        Self(Statement::new(text, parameters))
    }

    /// Answers how many rows it wrote.
    pub(super) fn run(&self, arguments: &[Datum]) -> Result<u64> {
        self.within(|statement| statement.run_seeing(View::Own, arguments))
    }

    pub(super) fn rows(&self, arguments: &[Datum], read: impl FnMut(&Answer)) -> Result<()> {
        self.within(|statement| statement.rows(View::Own, arguments, read))
    }

    fn within<R>(&self, work: impl FnOnce(&Statement) -> R) -> Result<R> {
        let owner = owner()?;
        Ok(as_extension_owner(owner, || {
            with_catalog_path(|| connected(|| work(&self.0)))
        }))
    }
}

thread_local! {
    static OWNER: RefCell<Known<(), Oid>> = const { RefCell::new(Known::new()) };
}

fn owner() -> Result<Oid> {
    OWNER.with(|known| Known::get_or_learn(known, (), extension_owner))
}
