//! Chatops' calls to the database of an environment. All are granted to the role `lockstep_chatops`.

use std::time::Duration;

use serde_json::Value;
use tokio_postgres::types::Type;

use super::pool::Pool;
use super::session::Arguments;
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
        let arguments: Arguments = &[
            (command, Type::JSONB),
            (&name, Type::TEXT),
            (wish, Type::JSONB),
            (&self.schema, Type::TEXT),
        ];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn delete_feature(
        &self,
        command: &Value,
        name: &str,
        is_held_by_incidents: bool,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_delete_feature($1, $2, $3, $4)";
        let arguments: Arguments = &[
            (command, Type::JSONB),
            (&name, Type::TEXT),
            (&is_held_by_incidents, Type::BOOL),
            (&self.schema, Type::TEXT),
        ];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn feature(&self, name: &str) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_feature($1, $2)";
        let arguments: Arguments = &[(&name, Type::TEXT), (&self.schema, Type::TEXT)];
        self.ask(statement, arguments).await
    }

    /// Flags whose name contains a text and that are unchanged for this many days.
    pub(crate) async fn features(
        &self,
        part: &str,
        unchanged_days: Option<i64>,
        most: i32,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_features($1, $2, $3, $4)";
        let arguments: Arguments = &[
            (&part, Type::TEXT),
            (&unchanged_days, Type::INT8),
            (&most, Type::INT4),
            (&self.schema, Type::TEXT),
        ];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn rollout(&self, name: &str) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_rollout($1, $2)";
        let arguments: Arguments = &[(&name, Type::TEXT), (&self.schema, Type::TEXT)];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn of_host(&self, what: OfHost<'_>) -> Result<Value, Error> {
        match what {
            OfHost::Commit(sha) => {
                let statement = "select lockstep_api.chatops_deployments($1, $2)";
                let arguments: Arguments = &[(&sha, Type::TEXT), (&self.schema, Type::TEXT)];
                ask(&self.of_host, statement, arguments).await
            }
            OfHost::Release {
                project,
                iid,
                milestone,
            } => {
                let statement = "select lockstep_api.chatops_release($1, $2, $3, $4)";
                let arguments: Arguments = &[
                    (&project, Type::TEXT),
                    (&iid, Type::INT8),
                    (&milestone, Type::TEXT),
                    (&self.schema, Type::TEXT),
                ];
                ask(&self.of_host, statement, arguments).await
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
        let arguments: Arguments = &[
            (command, Type::JSONB),
            (&title, Type::TEXT),
            (&severity, Type::INT4),
        ];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn close_incident(
        &self,
        command: &Value,
        incident: i64,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_close_incident($1, $2)";
        let arguments: Arguments = &[(command, Type::JSONB), (&incident, Type::INT8)];
        self.ask(statement, arguments).await
    }

    /// The last runs, or one.
    pub(crate) async fn backfills(&self, run: Option<i64>) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_backfills($1)";
        self.ask(statement, &[(&run, Type::INT8)]).await
    }

    pub(crate) async fn start_backfill(
        &self,
        command: &Value,
        job: &str,
        workers: i32,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_start_backfill($1, $2, $3)";
        let arguments: Arguments = &[
            (command, Type::JSONB),
            (&job, Type::TEXT),
            (&workers, Type::INT4),
        ];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn control_backfill(
        &self,
        command: &Value,
        run: i64,
        action: &str,
    ) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_control_backfill($1, $2, $3)";
        let arguments: Arguments = &[
            (command, Type::JSONB),
            (&run, Type::INT8),
            (&action, Type::TEXT),
        ];
        self.ask(statement, arguments).await
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
        let arguments: Arguments = &[(command, Type::JSONB), (&old_name, Type::TEXT)];
        self.ask(statement, arguments).await
    }

    pub(crate) async fn drift(&self) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_drift($1)";
        let arguments: Arguments = &[(&self.schema, Type::TEXT)];
        ask(&self.of_drift, statement, arguments).await
    }

    /// Whether an earlier delivery of a command was executed.
    pub(crate) async fn was_done(&self, command: &Value) -> Result<bool, Error> {
        let statement = "select lockstep_api.chatops_was_done($1)";
        let rows = self.pool.ask(statement, &[(command, Type::JSONB)]).await?;
        let row = rows.first().ok_or(Error::Silent)?;
        Ok(row.try_get(0)?)
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
        let arguments: Arguments = &[(&FUNCTIONS.as_slice(), Type::TEXT_ARRAY)];
        let rows = self.pool.ask(statement, arguments).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn ask(&self, statement: &str, arguments: Arguments<'_>) -> Result<Value, Error> {
        ask(&self.pool, statement, arguments).await
    }
}

async fn ask(pool: &Pool, statement: &str, arguments: Arguments<'_>) -> Result<Value, Error> {
    let rows = pool.ask(statement, arguments).await?;
    let row = rows.first().ok_or(Error::Silent)?;
    Ok(row.try_get(0)?)
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
        let arguments: Arguments = &[
            (&tenant.team, Type::TEXT),
            (&user, Type::TEXT),
            (&group, Type::TEXT),
            (&self.schema, Type::TEXT),
        ];
        let row = self.ask_one(statement, arguments).await?;
        Ok(row.try_get(0)?)
    }
}
