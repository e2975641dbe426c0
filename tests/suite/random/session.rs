//! One session of the random test: runs transactions as planned and counts the outcomes of statements.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::io::Write;

use anyhow::{Context, Result, bail};
use postgres::Client;
use postgres::error::{DbError, SqlState};

use crate::random::plan::{End, Kind, Statement, Transaction};

/// The outcome of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Succeeded,
    /// 40001
    Serialization,
    /// 40P01
    Deadlock,
    /// 23505
    Unique,
    /// 23503
    ForeignKey,
    /// XX000: an update of a row that others lock, while another update of it rolls back. PostgreSQL 16 and later do so on any table.
    AbortingUpdate,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Serialization,
        Self::Deadlock,
        Self::Unique,
        Self::ForeignKey,
        Self::AbortingUpdate,
    ];

    /// Any other error fails the test.
    fn of(result: Result<(), postgres::Error>) -> Result<Self> {
        let Err(error) = result else {
            return Ok(Self::Succeeded);
        };
        let state = error.code().cloned();
        match state {
            Some(SqlState::T_R_SERIALIZATION_FAILURE) => Ok(Self::Serialization),
            Some(SqlState::T_R_DEADLOCK_DETECTED) => Ok(Self::Deadlock),
            Some(SqlState::UNIQUE_VIOLATION) => Ok(Self::Unique),
            Some(SqlState::FOREIGN_KEY_VIOLATION) => Ok(Self::ForeignKey),
            Some(SqlState::INTERNAL_ERROR) if is_of_aborting_update(&error) => {
                Ok(Self::AbortingUpdate)
            }
            _ => bail!("unexpected error {error:?}"),
        }
    }
}

fn is_of_aborting_update(error: &postgres::Error) -> bool {
    let message = error.as_db_error().map_or("", DbError::message);
    message.starts_with("new multixact has more than one updating member")
}

/// How many statements of each kind had which outcome.
#[derive(Debug, Default)]
pub(crate) struct Counts(BTreeMap<(Kind, Outcome), u64>);

impl Counts {
    fn count(&mut self, kind: Kind, outcome: Outcome) {
        *self.0.entry((kind, outcome)).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (of, count) in other.0 {
            *self.0.entry(of).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    pub(crate) fn succeeded(&self) -> u64 {
        Kind::all().map(|kind| self.succeeded_of(kind)).sum()
    }

    pub(crate) fn succeeded_of(&self, kind: Kind) -> u64 {
        self.of(kind, Outcome::Succeeded)
    }

    fn of(&self, kind: Kind, outcome: Outcome) -> u64 {
        self.0.get(&(kind, outcome)).copied().unwrap_or(0)
    }
}

impl Display for Counts {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:<20}", "")?;
        for outcome in Outcome::ALL {
            write!(formatter, "{:>15}", format!("{outcome:?}"))?;
        }
        for kind in Kind::all() {
            write!(formatter, "\n{:<20}", format!("{kind:?}"))?;
            for outcome in Outcome::ALL {
                write!(formatter, "{:>15}", self.of(kind, outcome))?;
            }
        }
        Ok(())
    }
}

pub(crate) struct Session {
    client: Client,
    /// Names its prepared transactions.
    name: String,
    counts: Counts,
}

impl Session {
    pub(crate) fn new(client: Client, name: String) -> Self {
        Self {
            client,
            name,
            counts: Counts::default(),
        }
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(crate) fn into_counts(self) -> Counts {
        self.counts
    }

    /// Runs a transaction to its end, or up to a failing statement.
    pub(crate) fn run(&mut self, transaction: &Transaction) -> Result<()> {
        self.client
            .batch_execute(&format!("begin isolation level {}", transaction.level))?;
        for statement in &transaction.statements {
            let text = &statement.text;
            if !self
                .run_statement(statement)
                .with_context(|| text.clone())?
            {
                self.client.batch_execute("rollback")?;
                return Ok(());
            }
        }
        self.end(transaction.end)
    }

    /// Whether the transaction can continue.
    fn run_statement(&mut self, statement: &Statement) -> Result<bool> {
        if statement.guarded {
            self.client.batch_execute("savepoint here")?;
        }
        let outcome = Outcome::of(self.execute(statement))?;
        self.counts.count(statement.kind, outcome);
        let succeeded = outcome == Outcome::Succeeded;
        if statement.guarded && (statement.undone || !succeeded) {
            self.client
                .batch_execute("rollback to savepoint here; release savepoint here")?;
            self.counts
                .count(Kind::RollBackToSavepoint, Outcome::Succeeded);
        }
        Ok(succeeded || statement.guarded)
    }

    fn execute(&mut self, statement: &Statement) -> Result<(), postgres::Error> {
        let Some(lines) = &statement.lines else {
            return self.client.batch_execute(&statement.text);
        };
        // The driver loses sync with the server if a COPY fails before it has begun, for example by a deadlock on the table.
        self.client
            .batch_execute("lock table integrations in row exclusive mode")?;
        let mut writer = self.client.copy_in(&statement.text)?;
        // The server's error is reported at the end.
        writer.write_all(lines.as_bytes()).ok();
        writer.finish()?;
        Ok(())
    }

    fn end(&mut self, end: End) -> Result<()> {
        let name = &self.name;
        let (kind, finish) = match end {
            // A failed commit has rolled back, and does not count as a statement.
            End::Commit => return Outcome::of(self.client.batch_execute("commit")).map(|_| ()),
            End::RollBack => return Ok(self.client.batch_execute("rollback")?),
            End::CommitPrepared => (Kind::CommitPrepared, format!("commit prepared '{name}'")),
            End::RollBackPrepared => (
                Kind::RollBackPrepared,
                format!("rollback prepared '{name}'"),
            ),
        };
        let mut outcome = Outcome::of(
            self.client
                .batch_execute(&format!("prepare transaction '{name}'")),
        )?;
        if outcome == Outcome::Succeeded {
            outcome = Outcome::of(self.client.batch_execute(&finish))?;
        }
        self.counts.count(kind, outcome);
        Ok(())
    }
}
