//! Which database owns the work in flight. A restored or cloned database carries its source's work until an administrator decides
//! what happens to it; otherwise both databases would do everything twice.
//!
//! A table of one row records the owner: a dump adds a second row, and in a database created from a template the row names the
//! template.

use crate::OwnStatement;
use crate::error::Result;
use crate::waking::{self, Work};

const THIS: &str = "(select d.oid from pg_database d where d.datname = current_database())";

/// An extension's work in flight, of `KINDS` kinds.
pub struct Home<const KINDS: usize> {
    is_of_another: OwnStatement,
    lock: OwnStatement,
    leave: OwnStatement,
    move_in: OwnStatement,
    in_flight: OwnStatement,
    discard: Vec<OwnStatement>,
    renew: Vec<OwnStatement>,
    work: Work,
}

impl<const KINDS: usize> Home<KINDS> {
    /// The table that records the owner, a query that counts the work in flight, the statements that discard it, and those that
    /// renew what in it was of the other database's server.
    pub fn new(table: &str, in_flight: &str, discard: &[&str], renew: &[&str], work: Work) -> Self {
        let statements = |texts: &[&str]| {
            let texts = texts.iter();
            texts.map(|text| OwnStatement::new(text, &[])).collect()
        };
        Self {
            is_of_another: OwnStatement::new(
                &format!("select count(*) <> 1 or bool_or(h.database <> {THIS}) from {table} h"),
                &[],
            ),
            lock: OwnStatement::new(&format!("select from {table} for update"), &[]),
            leave: OwnStatement::new(&format!("delete from {table}"), &[]),
            move_in: OwnStatement::new(
                &format!("insert into {table} (database) values ({THIS})"),
                &[],
            ),
            in_flight: OwnStatement::new(in_flight, &[]),
            discard: statements(discard),
            renew: statements(renew),
            work,
        }
    }

    /// Whether the work in flight belongs to another database, or to an earlier time of this one.
    pub fn is_of_another(&self) -> Result<bool> {
        let mut is_of_another = true;
        self.is_of_another
            .rows(&[], |row| is_of_another = row.get(1).unwrap_or(true))?;
        Ok(is_of_another)
    }

    fn in_flight(&self) -> Result<[i64; KINDS]> {
        let mut counts = [0; KINDS];
        self.in_flight.rows(&[], |row| {
            counts = std::array::from_fn(|kind| row.get(kind + 1).unwrap_or_default());
        })?;
        Ok(counts)
    }

    fn move_in(&self) -> Result<()> {
        self.leave.run(&[])?;
        self.move_in.run(&[])?;
        for statement in &self.renew {
            statement.run(&[])?;
        }
        // Something is waiting for work.
        waking::wake(self.work);
        Ok(())
    }

    /// The work that is held, if any. A database whose template had nothing in flight becomes its own owner.
    pub fn settle(&self) -> Result<Option<[i64; KINDS]>> {
        if !self.is_of_another()? {
            return Ok(None);
        }
        let counts = self.in_flight()?;
        if counts == [0; KINDS] {
            self.move_in()?;
            return Ok(None);
        }
        Ok(Some(counts))
    }

    /// Allows the restored work to continue here; returns how much there is.
    pub fn release(&self) -> Result<[i64; KINDS]> {
        self.lock.run(&[])?;
        if !self.is_of_another()? {
            return Ok([0; KINDS]);
        }
        let counts = self.in_flight()?;
        self.move_in()?;
        Ok(counts)
    }

    /// Discards the restored work; returns how much there was, or None if the database owns its work.
    pub fn discard(&self) -> Result<Option<[i64; KINDS]>> {
        self.lock.run(&[])?;
        if !self.is_of_another()? {
            return Ok(None);
        }
        let counts = self.in_flight()?;
        for statement in &self.discard {
            statement.run(&[])?;
        }
        self.move_in()?;
        Ok(Some(counts))
    }
}
