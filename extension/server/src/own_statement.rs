//! Statements on the extension's own tables.

use crate::error::Result;
use crate::{Answer, Statement, View, as_ourselves, connected, with_catalog_path};
use pgrx::pg_sys::{Datum, Oid};
use std::rc::Rc;

/// A statement on the extension's tables.
pub struct OwnStatement(Statement);

impl OwnStatement {
    pub fn new(text: &str, parameters: &[Oid]) -> Self {
        Self(Statement::new(text, parameters))
    }

    /// One that walks the indexes that start with these columns, also where the planner takes the table for small.
    pub fn by_index(text: &str, parameters: &[Oid], columns: &[&str]) -> Self {
        let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
        Self(Statement::by_index(text, parameters, &columns))
    }

    /// Answers how many rows it wrote.
    pub fn run(&self, arguments: &[Datum]) -> Result<u64> {
        self.within(|statement| statement.run_seeing(View::Own, arguments))
    }

    /// The same, with arguments that may be null.
    pub fn run_with_nulls(&self, arguments: &[Option<Datum>]) -> Result<u64> {
        self.within(|statement| statement.run_with_nulls(View::Own, arguments))
    }

    /// The same, seeing what has committed by now: in REPEATABLE READ and above it is a serialization failure to change what the
    /// transaction does not see.
    pub fn run_newest_with_nulls(&self, arguments: &[Option<Datum>]) -> Result<u64> {
        self.within(|statement| statement.run_with_nulls(View::Newest, arguments))
    }

    pub fn rows(&self, arguments: &[Datum], read: impl FnMut(&Answer)) -> Result<()> {
        self.rows_seeing(View::Own, arguments, read)
    }

    /// The same, with a choice of what it sees.
    pub fn rows_seeing(
        &self,
        view: View,
        arguments: &[Datum],
        read: impl FnMut(&Answer),
    ) -> Result<()> {
        self.within(|statement| statement.rows(view, arguments, read))
    }

    /// The same, with arguments that may be null.
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
