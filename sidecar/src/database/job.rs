//! The job queue, and the workers' calls to the database.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{Client, Row};

use super::argument::Arguments;
use super::pool::Pool;
use super::session::{ANSWER_TIMEOUT, ask_unprepared, value};
use crate::connection::Address;
use crate::error::Error;

/// A job that this process has claimed.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) id: i64,
    /// The runner that claimed it: after its lease has ended this process gets another number.
    pub(crate) runner: i64,
    pub(crate) worker: String,
    pub(crate) args: Value,
    pub(crate) attempt: i32,
}

/// A session for claiming and completing jobs. It prepares no statements, so that it works through a pooler.
pub(crate) struct Queue {
    client: Client,
}

impl Queue {
    /// Opens a session; `wake` is called whenever jobs have been enqueued since, so that a claim after this misses none. Through
    /// a pooler there are no notifications.
    pub(crate) async fn open(
        address: &Address,
        wake: impl Fn() + Send + 'static,
    ) -> Result<Self, Error> {
        let client = address.connect_listening(wake).await?;
        if !address.is_pooled() {
            client.batch_execute("listen lockstep_job").await?;
        }
        Ok(Self { client })
    }

    /// A session only for renewing a lease, which must not wait for anything else.
    pub(crate) async fn open_for_heartbeat(address: &Address) -> Result<Self, Error> {
        let client = address.connect().await?;
        Ok(Self { client })
    }

    pub(crate) async fn start_runner(&self, name: &str, lease: Duration) -> Result<i64, Error> {
        let statement = "select lockstep.start_runner($1, make_interval(secs => $2))";
        let rows = self.ask(statement, &[&name, &lease.as_secs_f64()]).await?;
        value(&rows)
    }

    /// False if the lease has ended.
    pub(crate) async fn heartbeat(&self, runner: i64) -> Result<bool, Error> {
        match self
            .ask("select lockstep.runner_heartbeat($1)", &[&runner])
            .await
        {
            Ok(_) => Ok(true),
            Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// None if the lease has ended.
    pub(crate) async fn claim(
        &self,
        runner: i64,
        workers: &[&str],
        most: i32,
    ) -> Result<Option<Vec<Job>>, Error> {
        let statement = "select job, worker, args, attempt from lockstep.claim_jobs($1, $2, $3)";
        let rows = match self.ask(statement, &[&runner, &workers, &most]).await {
            Ok(rows) => rows,
            Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let job = |row: &Row| {
            Ok(Job {
                id: row.try_get(0)?,
                runner,
                worker: row.try_get(1)?,
                // A worker refuses null, so a job that cannot be read fails, and keeps no other from being claimed.
                args: row.try_get(2).unwrap_or_default(),
                attempt: row.try_get(3)?,
            })
        };
        rows.iter().map(job).collect::<Result<_, _>>().map(Some)
    }

    /// Returns the jobs that the runner no longer holds.
    pub(crate) async fn complete(&self, runner: i64, jobs: &[i64]) -> Result<Vec<i64>, Error> {
        let statement = "select lockstep.complete_jobs($1, $2)";
        value(&self.ask(statement, &[&runner, &jobs]).await?)
    }

    /// Returns what happens to the job next, or None if the runner no longer holds it.
    pub(crate) async fn fail(
        &self,
        runner: i64,
        job: i64,
        error: &str,
    ) -> Result<Option<String>, Error> {
        let statement = "select lockstep.fail_job($1, $2, $3)";
        // The text may be somebody else's, and PostgreSQL has no NUL.
        let error = error.replace('\0', "\u{fffd}");
        match self.ask(statement, &[&runner, &job, &error]).await {
            Ok(rows) => Ok(rows.first().map(|row| row.try_get(0)).transpose()?),
            Err(error) if error.has_code(&SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn release(&self, runner: i64, jobs: &[i64]) -> Result<(), Error> {
        let statement = "select lockstep.release_jobs($1, $2)";
        self.ask(statement, &[&runner, &jobs]).await?;
        Ok(())
    }

    /// Returns jobs that were claimed for the runner without its knowledge; the result is their number.
    pub(crate) async fn release_others(&self, runner: i64, known: &[i64]) -> Result<i64, Error> {
        let statement = "select lockstep.release_other_jobs($1, $2)";
        value(&self.ask(statement, &[&runner, &known]).await?)
    }

    /// Returns all jobs of the runner; the result is their number.
    pub(crate) async fn stop_runner(&self, runner: i64) -> Result<i64, Error> {
        let statement = "select lockstep.stop_runner($1)";
        value(&self.ask(statement, &[&runner]).await?)
    }

    async fn ask(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        ask_unprepared(&self.client, statement, arguments, ANSWER_TIMEOUT).await
    }
}

/// The jobs' work in the database, each in its own session.
#[derive(Clone)]
pub(crate) struct Effects {
    pool: Pool,
    schema: String,
}

impl Effects {
    /// At most this many sessions, opened on demand.
    pub(crate) fn new(address: &Address, schema: &str, sessions: usize) -> Result<Self, Error> {
        Ok(Self {
            pool: Pool::new(address, sessions)?,
            schema: schema.to_owned(),
        })
    }

    /// Whether the integration exists.
    pub(crate) async fn record_event(
        &self,
        integration: i64,
        data: &Value,
        job: i64,
    ) -> Result<bool, Error> {
        let statement = "select lockstep.record_integration_event($1, $2, $3, $4)";
        self.call(statement, &[&integration, data, &job, &self.schema])
            .await
    }

    /// Returns the number of rows written.
    pub(crate) async fn set_cluster_integration(
        &self,
        cluster: i64,
        integration: &str,
        active: bool,
    ) -> Result<i64, Error> {
        let statement = "select lockstep.set_cluster_integration($1, $2, $3, $4)";
        self.call(statement, &[&cluster, &integration, &active, &self.schema])
            .await
    }

    async fn call<T: FromSqlOwned>(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<T, Error> {
        value(&self.pool.ask(statement, arguments).await?)
    }
}
