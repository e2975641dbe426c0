//! Runs of backfill jobs.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::ToSql;
use tokio_postgres::{CancelToken, Client, Row};

use super::pool::Pool;
use super::session::ask;
use crate::connection::Address;
use crate::error::Error;

/// For this long after the start of a run, having no worker yet is normal.
const STARTING: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Running,
    Paused,
    Cancelled,
    Finished,
    Failed,
}

impl Status {
    fn named(name: &str) -> Self {
        match name {
            "running" => Self::Running,
            "paused" => Self::Paused,
            "cancelled" => Self::Cancelled,
            "finished" => Self::Finished,
            _ => Self::Failed,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }

    pub(crate) fn is_over(self) -> bool {
        !matches!(self, Self::Running | Self::Paused)
    }
}

/// A row of lockstep.backfill_progress.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) run: i64,
    pub(crate) job: String,
    pub(crate) table: String,
    pub(crate) status: Status,
    pub(crate) percent: f64,
    pub(crate) scanned: i64,
    pub(crate) rows_estimated: i64,
    pub(crate) updated: i64,
    /// Unresolved rows by reason.
    pub(crate) unresolved: BTreeMap<String, i64>,
    pub(crate) rows_per_second: Option<f64>,
    pub(crate) remaining: Option<Duration>,
    pub(crate) workers: usize,
    pub(crate) workers_wanted: i32,
    pub(crate) held_by: Option<String>,
    pub(crate) set_aside: i64,
    pub(crate) last_error: Option<String>,
    /// Since the start of the run, up to its end if it has ended.
    pub(crate) elapsed: Duration,
}

impl Progress {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        let unresolved: String = row.try_get("unresolved")?;
        let workers: i32 = row.try_get("workers")?;
        let elapsed = seconds(row.try_get("elapsed")?);
        Ok(Self {
            run: row.try_get("run")?,
            job: row.try_get("job")?,
            table: row.try_get("target_table")?,
            status: Status::named(row.try_get("status")?),
            percent: row.try_get("percent")?,
            scanned: row.try_get("scanned")?,
            rows_estimated: row.try_get("rows_estimated")?,
            updated: row.try_get("updated")?,
            unresolved: serde_json::from_str(&unresolved).unwrap_or_default(),
            rows_per_second: row.try_get("rows_per_second")?,
            remaining: row.try_get::<_, Option<f64>>("remaining")?.map(seconds),
            workers: usize::try_from(workers).unwrap_or_default(),
            workers_wanted: row.try_get("workers_wanted")?,
            held_by: row
                .try_get::<_, Option<String>>("held_by")?
                .filter(|_| workers > 0 || elapsed > STARTING),
            set_aside: row.try_get("set_aside")?,
            last_error: row.try_get("last_error")?,
            elapsed,
        })
    }

    pub(crate) fn unresolved_rows(&self) -> i64 {
        self.unresolved.values().sum()
    }
}

/// What a job would do to some rows.
pub(crate) struct PreviewOutcome {
    pub(crate) outcome: String,
    pub(crate) writes: bool,
    pub(crate) rows: i64,
    /// The first keys.
    pub(crate) examples: Vec<i64>,
}

/// A range of keys that a run could not process.
pub(crate) struct SetAside {
    pub(crate) after: String,
    pub(crate) last: String,
    pub(crate) error: String,
}

const PROGRESS: &str = "
  select run, job, target_table::text, status, percent::float8, scanned, rows_estimated, updated, unresolved::text,
         rows_per_second::float8, extract(epoch from remaining)::float8 as remaining, cardinality(pids) as workers,
         workers_wanted, held_by, set_aside, last_error,
         extract(epoch from coalesce(finished_at, clock_timestamp()) - started_at)::float8 as elapsed
    from lockstep.backfill_progress where run = $1";

const SET_ASIDE: &str = "
  select array_to_string(after_key, ', '), array_to_string(last_key, ', '), concat_ws(' ', sqlstate, error)
    from lockstep.backfill_set_aside where run = $1 order by set_aside_at limit $2";

/// A session with the database.
pub(crate) struct Database {
    client: Client,
}

impl Database {
    pub(crate) async fn open(address: &Address) -> Result<Self, Error> {
        Ok(Self {
            client: address.connect().await?,
        })
    }

    pub(crate) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    async fn ask(
        &self,
        statement: &'static str,
        arguments: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Error> {
        ask(&self.client, statement, arguments).await
    }

    /// The progress of a run; None if it does not exist or this role may not see it.
    pub(crate) async fn progress(&self, run: i64) -> Result<Option<Progress>, Error> {
        let rows = self.ask(PROGRESS, &[&run]).await?;
        Ok(rows.first().map(Progress::of).transpose()?)
    }

    /// The first ranges that a run has set aside.
    pub(crate) async fn set_aside(&self, run: i64, most: i64) -> Result<Vec<SetAside>, Error> {
        let rows = self.client.query(SET_ASIDE, &[&run, &most]).await?;
        let range = |row: &Row| {
            Ok(SetAside {
                after: row.try_get(0)?,
                last: row.try_get(1)?,
                error: row.try_get(2)?,
            })
        };
        rows.iter().map(range).collect()
    }

    /// What a job would do. It reads a whole table.
    pub(crate) async fn preview(
        &self,
        job: &str,
        table: Option<&str>,
    ) -> Result<Vec<PreviewOutcome>, Error> {
        let statement = "select outcome, writes, rows, examples from lockstep.preview_backfill($1, $2::text::regclass)";
        let rows = self.client.query(statement, &[&job, &table]).await?;
        let outcome = |row: &Row| {
            Ok(PreviewOutcome {
                outcome: row.try_get(0)?,
                writes: row.try_get(1)?,
                rows: row.try_get(2)?,
                examples: row.try_get(3)?,
            })
        };
        rows.iter().map(outcome).collect()
    }

    /// Starts a run and returns its number.
    pub(crate) async fn start(
        &self,
        job: &str,
        table: Option<&str>,
        workers: i32,
        settings: Option<&Value>,
    ) -> Result<i64, Error> {
        let settings = settings.map_or_else(|| "{}".to_owned(), Value::to_string);
        let statement =
            "select lockstep.start_backfill($1, $2::text::regclass, $3, $4::text::jsonb)";
        let row = self
            .client
            .query_one(statement, &[&job, &table, &workers, &settings])
            .await?;
        Ok(row.try_get(0)?)
    }

    pub(crate) async fn pause(&self, run: i64) -> Result<(), Error> {
        self.ask("select lockstep.pause_backfill($1)", &[&run])
            .await?;
        Ok(())
    }

    /// Resumes a paused run, or starts the workers that it lacks.
    pub(crate) async fn resume(&self, run: i64) -> Result<(), Error> {
        self.ask("select lockstep.resume_backfill($1)", &[&run])
            .await?;
        Ok(())
    }

    pub(crate) async fn alter(
        &self,
        run: i64,
        settings: Option<&Value>,
        workers: Option<i32>,
    ) -> Result<(), Error> {
        let settings = settings.map_or_else(|| "{}".to_owned(), Value::to_string);
        let statement = "select lockstep.alter_backfill($1, $2::text::jsonb, $3)";
        self.ask(statement, &[&run, &settings, &workers]).await?;
        Ok(())
    }
}

/// Runs that have lost their workers. Its session is its own: nothing that takes long holds it up.
pub(crate) struct LostBackfills {
    pool: Pool,
}

impl LostBackfills {
    /// A query takes a moment: a server that has vanished must not hold up a run for longer than that.
    const PATIENCE: Duration = Duration::from_secs(3);

    pub(crate) fn new(address: &Address) -> Result<Self, Error> {
        let address = address.clone().within(Self::PATIENCE);
        Ok(Self {
            pool: Pool::new(&address, 1)?.within(Self::PATIENCE),
        })
    }

    /// Starts their workers; returns the numbers of the runs.
    pub(crate) async fn resume(&self) -> Result<Vec<i64>, Error> {
        let statement = "select lockstep.resume_lost_backfills()";
        let rows = self.pool.ask(statement, &[]).await?;
        let row = rows.first().ok_or(Error::Silent)?;
        Ok(row.try_get(0)?)
    }
}
