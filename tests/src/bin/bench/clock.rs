//! The CPU time of a session.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result};
use postgres::Client;

/// Adds up the CPU time of a session's statements, in milliseconds.
pub(crate) struct Clock {
    /// Linux counts each process's CPU time in nanoseconds, as the first number in this file.
    account: String,
    pub(crate) busy: f64,
    pub(crate) elapsed: f64,
}

impl Clock {
    pub(crate) fn of_session(client: &mut Client) -> Result<Self> {
        let process: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
        Ok(Self {
            account: format!("/proc/{process}/schedstat"),
            busy: 0.0,
            elapsed: 0.0,
        })
    }

    pub(crate) fn time(
        &mut self,
        work: impl FnOnce() -> Result<(), postgres::Error>,
    ) -> Result<()> {
        let busy = self.busy_so_far()?;
        let start = Instant::now();
        work()?;
        self.elapsed += start.elapsed().as_secs_f64() * 1000.0;
        self.busy += self.busy_so_far()? - busy;
        Ok(())
    }

    fn busy_so_far(&self) -> Result<f64> {
        let text = fs::read_to_string(&self.account)
            .with_context(|| format!("cannot read {}", self.account))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        let nanoseconds: f64 = first
            .parse()
            .with_context(|| format!("{} says {text}", self.account))?;
        Ok(nanoseconds / 1e6)
    }
}
