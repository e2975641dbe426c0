//! Statements on the extension's own tables.

use super::{Answer, Statement, View, connected};
use crate::error::Result;
use crate::{as_ourselves, with_catalog_path};
use pgrx::pg_sys::{Datum, Oid};
use std::rc::Rc;

/// A statement on the extension's tables.
pub struct OwnStatement(Statement);

impl OwnStatement {
    pub fn new(text: &str, parameters: &[Oid]) -> Self {
        Self(Statement::new(text, parameters))
    }

    /// A statement that uses the indexes starting with these columns, even if the planner believes the table is small.
    pub fn by_index(text: &str, parameters: &[Oid], columns: &[&str]) -> Self {
        let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
        Self(Statement::by_index(text, parameters, &columns))
    }

    /// Returns the number of rows written.
    pub fn run(&self, arguments: &[Datum]) -> Result<u64> {
        self.within(|statement| statement.run_seeing(View::Own, arguments))
    }

    /// The same, with nullable arguments.
    pub fn run_with_nulls(&self, arguments: &[Option<Datum>]) -> Result<u64> {
        self.within(|statement| statement.run_with_nulls(View::Own, arguments))
    }

    /// The same, seeing everything committed by now. In REPEATABLE READ and above, changing a row that the transaction's snapshot
    /// does not see is a serialization failure.
    pub fn run_newest_with_nulls(&self, arguments: &[Option<Datum>]) -> Result<u64> {
        self.within(|statement| statement.run_with_nulls(View::Newest, arguments))
    }

    pub fn rows(&self, arguments: &[Datum], read: impl FnMut(&Answer)) -> Result<()> {
        self.rows_seeing(View::Own, arguments, read)
    }

    /// The same, with a choice of snapshot.
    pub fn rows_seeing(
        &self,
        view: View,
        arguments: &[Datum],
        read: impl FnMut(&Answer),
    ) -> Result<()> {
        self.within(|statement| statement.rows(view, arguments, read))
    }

    /// The same, with nullable arguments.
    pub fn rows_with_nulls(
        &self,
        arguments: &[Option<Datum>],
        read: impl FnMut(&Answer),
    ) -> Result<()> {
        self.within(|statement| statement.rows_with_nulls(View::Own, arguments, read))
    }

    fn within<R>(&self, work: impl FnOnce(&Statement) -> R) -> Result<R> {
        Ok(as_ourselves(|| {
            with_catalog_path(|| connected(|| work(&self.0)))
        }))
    }
}
