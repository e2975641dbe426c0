//! Statements on the extension's own tables.

use super::{Answer, Statement, View, connected};
use crate::citus::check_is_not_on_worker;
use crate::error::Result;
use crate::{as_ourselves, with_catalog_path};
use pgrx::pg_sys::{Datum, Oid};
use std::rc::Rc;

/// A statement on the extension's tables.
pub struct OwnStatement {
    statement: Statement,
    /// It is for what the extension's script has written, which workers of Citus have as well.
    is_for_workers: bool,
}

impl OwnStatement {
    pub fn new(text: &str, parameters: &[Oid]) -> Self {
        Self::of(Statement::new(text, parameters))
    }

    /// A statement without parameters on what the extension's script has written, wherever it ran.
    pub fn on_each_server(text: &str) -> Self {
        Self {
            statement: Statement::new(text, &[]),
            is_for_workers: true,
        }
    }

    /// A statement that uses the indexes starting with these columns, even if the planner believes the table is small.
    pub fn by_index(text: &str, parameters: &[Oid], columns: &[&str]) -> Self {
        let columns: Rc<[String]> = columns.iter().map(ToString::to_string).collect();
        Self::of(Statement::by_index(text, parameters, &columns))
    }

    fn of(statement: Statement) -> Self {
        Self {
            statement,
            is_for_workers: false,
        }
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
        if !self.is_for_workers {
            check_is_not_on_worker()?;
        }
        Ok(as_ourselves(|| {
            with_catalog_path(|| connected(|| work(&self.statement)))
        }))
    }
}
