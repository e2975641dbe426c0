//! How much is measured, and how often.

use std::str::FromStr;

use anyhow::{Result, anyhow, ensure};

/// The size of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Rows that a bulk statement changes.
    pub(crate) rows: u32,
    /// How often each measurement is repeated.
    pub(crate) rounds: usize,
}

impl Size {
    /// The size from BENCH_ROWS and BENCH_ROUNDS.
    pub(crate) fn from_environment() -> Result<Self> {
        let size = Self {
            rows: number("BENCH_ROWS", 100_000)?,
            rounds: number("BENCH_ROUNDS", 5)?,
        };
        ensure!(
            size.rows >= 100 && size.rounds >= 1,
            "BENCH_ROWS must be at least 100 and BENCH_ROUNDS at least 1"
        );
        Ok(size)
    }
}

fn number<T: FromStr>(variable: &str, default: T) -> Result<T> {
    match std::env::var(variable) {
        Ok(text) => text
            .parse()
            .map_err(|_| anyhow!("{variable} is no number: {text}")),
        Err(_) => Ok(default),
    }
}
