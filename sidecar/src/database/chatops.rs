//! Chatops' calls to the database of an environment. All are granted to the role `lockstep_chatops`.

use std::time::Duration;

use serde_json::Value;

use super::argument::Arguments;
use super::pool::Pool;
use super::session::value;
use super::slack::SlackDatabase;
use super::transaction::Transaction;
use crate::connection::Address;
use crate::error::Error;
use crate::slack::Tenant;

/// Several users may give commands at once, and each may wait for a lock.
const SESSIONS: usize = 4;

/// Lookups in GitLab's tables, where large instances have many environments, have this many sessions.
const SESSIONS_OF_HOST: usize = 2;

/// Queries that read whole tables run one after the other.
const SESSIONS_OF_DRIFT: usize = 1;

/// These take longer than anything else. Slack accepts answers for half an hour.
const LONG: Duration = Duration::from_secs(600);

#[derive(Clone)]
pub(crate) struct ChatopsDatabase {
    pool: Pool,
    /// Turning a flag off never waits for these.
    of_host: Pool,
    of_drift: Pool,
    address: Address,
    schema: String,
}

/// Queries on GitLab's own tables.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OfHost<'a> {
    Commit(&'a str),
    Release {
        project: &'a str,
        iid: i64,
        milestone: &'a str,
    },
}

impl ChatopsDatabase {
    pub(crate) fn new(address: &Address, schema: &str) -> Result<Self, Error> {
        Ok(Self {
            pool: Pool::new(address, SESSIONS)?.careful(),
            of_host: Pool::new(address, SESSIONS_OF_HOST)?.careful().within(LONG),
            of_drift: Pool::new(address, SESSIONS_OF_DRIFT)?
                .careful()
                .within(LONG),
            address: address.clone(),
            schema: schema.to_owned(),
        })
    }

    /// For a change that depends on another environment.
    pub(crate) async fn begin(&self) -> Result<Transaction, Error> {
        Transaction::begin(&self.address, &self.schema).await
    }

    pub(crate) async fn set_feature(
        &self,
        command: &Value,
        name: &str,
        wish: &Value,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_set_feature($1, $2, $3, $4)";
        self.ask(statement, &[command, &name, wish, &self.schema])
            .await
    }

    pub(crate) async fn delete_feature(
        &self,
        command: &Value,
        name: &str,
        is_held_by_incidents: bool,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_delete_feature($1, $2, $3, $4)";
        self.ask(
            statement,
            &[command, &name, &is_held_by_incidents, &self.schema],
        )
        .await
    }

    pub(crate) async fn feature(&self, name: &str) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_feature($1, $2)";
        self.ask(statement, &[&name, &self.schema]).await
    }

    /// Flags whose name contains a text and that are unchanged for this many days.
    pub(crate) async fn features(
        &self,
        part: &str,
        unchanged_days: Option<i64>,
        most: i32,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_features($1, $2, $3, $4)";
        self.ask(statement, &[&part, &unchanged_days, &most, &self.schema])
            .await
    }

    pub(crate) async fn rollout(&self, name: &str) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_rollout($1, $2)";
        self.ask(statement, &[&name, &self.schema]).await
    }

    pub(crate) async fn of_host(&self, what: OfHost<'_>) -> Result<Value, Error> {
        match what {
            OfHost::Commit(sha) => {
                let statement = "select lockstep_api.chatops_deployments($1, $2)";
                ask(&self.of_host, statement, &[&sha, &self.schema]).await
            }
            OfHost::Release {
                project,
                iid,
                milestone,
            } => {
                let statement = "select lockstep_api.chatops_release($1, $2, $3, $4)";
                ask(
                    &self.of_host,
                    statement,
                    &[&project, &iid, &milestone, &self.schema],
                )
                .await
            }
        }
    }

    pub(crate) async fn incidents(&self) -> Result<Value, Error> {
        self.ask("select lockstep_api.chatops_incidents()", &[])
            .await
    }

    pub(crate) async fn declare_incident(
        &self,
        command: &Value,
        title: &str,
        severity: i32,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_declare_incident($1, $2, $3)";
        self.ask(statement, &[command, &title, &severity]).await
    }

    pub(crate) async fn close_incident(
        &self,
        command: &Value,
        incident: i64,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_close_incident($1, $2)";
        self.ask(statement, &[command, &incident]).await
    }

    /// The last runs, or one.
    pub(crate) async fn backfills(&self, run: Option<i64>) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_backfills($1)";
        self.ask(statement, &[&run]).await
    }

    pub(crate) async fn start_backfill(
        &self,
        command: &Value,
        job: &str,
        workers: i32,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_start_backfill($1, $2, $3)";
        self.ask(statement, &[command, &job, &workers]).await
    }

    pub(crate) async fn control_backfill(
        &self,
        command: &Value,
        run: i64,
        action: &str,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_control_backfill($1, $2, $3)";
        self.ask(statement, &[command, &run, &action]).await
    }

    pub(crate) async fn workers(&self) -> Result<Value, Error> {
        self.ask("select lockstep_api.chatops_workers()", &[]).await
    }

    pub(crate) async fn retire_worker(
        &self,
        command: &Value,
        old_name: &str,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_retire_worker($1, $2)";
        self.ask(statement, &[command, &old_name]).await
    }

    pub(crate) async fn drift(&self) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_drift($1)";
        ask(&self.of_drift, statement, &[&self.schema]).await
    }

    /// Whether an earlier delivery of a command was executed.
    pub(crate) async fn was_done(&self, command: &Value) -> Result<bool, Error> {
        let statement = "select lockstep_api.chatops_was_done($1)";
        value(&self.pool.ask(statement, &[command]).await?)
    }

    /// The functions that are missing or that the role may not call.
    pub(crate) async fn functions_out_of_reach(&self) -> Result<Vec<String>, Error> {
        let statement = "
            select wanted.name
              from pg_catalog.unnest($1) wanted (name)
              left join pg_catalog.pg_proc p on p.proname = wanted.name
               and p.pronamespace = pg_catalog.to_regnamespace('lockstep_api')
             where p.oid is null or not pg_catalog.has_function_privilege(p.oid, 'execute')
                or not pg_catalog.has_schema_privilege(p.pronamespace, 'usage')
             order by 1";
        let rows = self.pool.ask(statement, &[&FUNCTIONS.as_slice()]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn ask(&self, statement: &'static str, arguments: Arguments<'_>) -> Result<Value, Error> {
        ask(&self.pool, statement, arguments).await
    }
}

async fn ask(
    pool: &Pool,
    statement: &'static str,
    arguments: Arguments<'_>,
) -> Result<Value, Error> {
    value(&pool.ask(statement, arguments).await?)
}

/// All functions that chatops calls.
const FUNCTIONS: [&str; 18] = [
    "chatops_backfills",
    "chatops_close_incident",
    "chatops_control_backfill",
    "chatops_declare_incident",
    "chatops_delete_feature",
    "chatops_deployments",
    "chatops_drift",
    "chatops_feature",
    "chatops_features",
    "chatops_hold_feature",
    "chatops_incidents",
    "chatops_release",
    "chatops_retire_worker",
    "chatops_rollout",
    "chatops_set_feature",
    "chatops_start_backfill",
    "chatops_was_done",
    "chatops_workers",
];

impl SlackDatabase {
    /// Whether the account linked to a Slack user is a member of a group.
    pub(crate) async fn is_chatops_member(
        &self,
        tenant: Tenant<'_>,
        user: &str,
        group: &str,
    ) -> Result<bool, Error> {
        let statement = "select lockstep_api.is_chatops_member($1, $2, $3, $4)";
        self.value(statement, &[&tenant.team, &user, &group, &self.schema])
            .await
    }
}
