//! The Slack app's calls to the database: about installations ([`install`]), events and jobs ([`event`]), integrations
//! ([`integration`]) and tokens ([`token`]). All are granted to the role `lockstep_sidecar`.

mod by_alias;
mod connected;
mod delivery;
mod event;
mod install;
mod integration;
mod monitoring;
mod person;
mod publish;
mod settings;
mod subscription;
mod token;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_postgres::Row;
use tokio_postgres::types::FromSqlOwned;

use super::argument::Arguments;
use super::batch::Batches;
use super::pool::Pool;
use super::session::value;
use crate::connection::Address;
use crate::error::Error;

use by_alias::ByAlias;
pub(crate) use connected::{EVENTS, Integration, Which};
pub(crate) use delivery::{Delivery, Finished, Mention, Outcome, Sent, Standing, Trouble, Updates};
pub(crate) use event::{NewEvent, Received};
pub(crate) use install::{Install, TakenState, TicketOwner, Workspace};
pub(crate) use monitoring::{Drift, MetricsReport};
pub(crate) use publish::Published;
pub(crate) use settings::HostProperties;
pub(crate) use subscription::{Choice, Follower, Subscription};
pub(crate) use token::{Refresh, StoredTokens};

pub(crate) struct Condition {
    /// The version of the extension; empty if it is not installed.
    pub(crate) extension: String,
    pub(crate) writes: Writes,
}

/// Whether the database accepts writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writes {
    Accepted,
    Standby,
    /// Sessions begin read-only, by a setting of the server, the database or the role.
    ReadOnly,
}

impl Writes {
    /// What the database is if it accepts none, and what helps.
    pub(crate) fn refusal(self) -> Option<&'static str> {
        match self {
            Self::Accepted => None,
            Self::Standby => {
                Some("a standby: name all its hosts, and target_session_attrs=read-write")
            }
            Self::ReadOnly => Some(
                "read-only: default_transaction_read_only is on, for the server, the database or the role",
            ),
        }
    }
}

#[derive(Clone)]
pub(crate) struct SlackDatabase {
    pool: Pool,
    pub(super) schema: String,
    by_alias: Arc<Batches<ByAlias>>,
}

impl SlackDatabase {
    pub(crate) fn new(address: &Address, schema: &str, sessions: usize) -> Result<Self, Error> {
        Ok(Self::of(Pool::new(address, sessions)?, schema))
    }

    /// A single session, which is notified of deliveries while it waits for them, and then calls `wake`.
    pub(crate) fn for_deliveries(
        address: &Address,
        schema: &str,
        wake: Arc<Notify>,
    ) -> Result<Self, Error> {
        let pool = Pool::listening(address, "lockstep_delivery", wake)?;
        Ok(Self::of(pool, schema))
    }

    fn of(pool: Pool, schema: &str) -> Self {
        Self {
            by_alias: Arc::new(Batches::new(ByAlias::new(&pool, schema))),
            pool,
            schema: schema.to_owned(),
        }
    }

    /// The state of the database, as far as the app depends on it.
    pub(crate) async fn condition(&self) -> Result<Condition, Error> {
        let statement = "
            select coalesce((select e.extversion from pg_catalog.pg_extension e where e.extname = 'lockstep_slack'), ''),
                   pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'";
        let row = self.ask_one(statement, &[]).await?;
        let writes = match (row.try_get(1)?, row.try_get(2)?) {
            (true, _) => Writes::Standby,
            (false, true) => Writes::ReadOnly,
            (false, false) => Writes::Accepted,
        };
        if writes == Writes::ReadOnly {
            // A session keeps the setting that it began with.
            self.pool.close_idle();
        }
        Ok(Condition {
            extension: row.try_get(0)?,
            writes,
        })
    }

    /// The functions that are missing or that this role may not call.
    pub(crate) async fn functions_out_of_reach(&self) -> Result<Vec<String>, Error> {
        let statement = "
            select wanted.name
              from pg_catalog.unnest($1) wanted (name)
              left join pg_catalog.pg_proc p on p.proname = wanted.name
               and p.pronamespace in (pg_catalog.to_regnamespace('lockstep'), pg_catalog.to_regnamespace('lockstep_api'))
             where p.oid is null or not pg_catalog.has_function_privilege(p.oid, 'execute')
                or not pg_catalog.has_schema_privilege(p.pronamespace, 'usage')
             order by 1";
        let rows = self.ask(statement, &[&FUNCTIONS.as_slice()]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// How many sessions there are, and how many wait for one.
    pub(crate) fn sessions(&self) -> deadpool::Status {
        self.pool.status()
    }

    /// The same, for what takes longer.
    pub(crate) fn within(&self, patience: Duration) -> Self {
        Self {
            pool: self.pool.within(patience),
            schema: self.schema.clone(),
            by_alias: Arc::clone(&self.by_alias),
        }
    }

    async fn ask(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Vec<Row>, Error> {
        self.pool.ask(statement, arguments).await
    }

    pub(super) async fn value<T: FromSqlOwned>(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<T, Error> {
        value(&self.ask(statement, arguments).await?)
    }

    pub(super) async fn ask_one(
        &self,
        statement: &'static str,
        arguments: Arguments<'_>,
    ) -> Result<Row, Error> {
        let rows = self.ask(statement, arguments).await?;
        rows.into_iter().next().ok_or(Error::Silent)
    }
}

/// All functions that `serve` calls.
pub(crate) const FUNCTIONS: [&str; 48] = [
    "begin_slack_install",
    "claim_deliveries",
    "claim_jobs",
    "claim_slack_token_refresh",
    "complete_jobs",
    "delivery_results",
    "delivery_wait",
    "drift_checks",
    "drift_report",
    "enqueue_slack_job",
    "fail_job",
    "finish_deliveries",
    "finish_slack_install",
    "give_back_slack_token_refresh",
    "is_project_within",
    "list_slack_followers",
    "list_slack_integrations",
    "list_slack_subscriptions",
    "list_slack_tokens",
    "list_slack_workspaces",
    "managed_slack_integrations",
    "metrics_report",
    "publish_events",
    "receive_slack_event",
    "record_history",
    "release_jobs",
    "release_other_jobs",
    "remind_of_reviews",
    "replace_slack_token",
    "resume_lost_backfills",
    "runner_heartbeat",
    "set_slack_integration_active",
    "set_slack_integration_settings",
    "set_slack_person",
    "slack_bot",
    "slack_channel_troubles",
    "slack_integrations_by_alias",
    "slack_workspace_notifications",
    "start_runner",
    "status_history",
    "status_report",
    "stop_runner",
    "store_slack_token",
    "subscribe_slack_project",
    "sweep_slack",
    "take_slack_install",
    "test_slack_workspace_integration",
    "unsubscribe_slack_project",
];
