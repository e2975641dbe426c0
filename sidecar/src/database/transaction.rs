//! A transaction in the database of an environment, for work that takes several queries there and elsewhere.

use std::time::Duration;

use serde_json::Value;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::argument::Arguments;
use super::session::{ANSWER_TIMEOUT, ask_unprepared, value};
use crate::connection::Address;
use crate::error::Error;

/// If this program vanishes, nobody waits longer than this for its locks. Waiting for another database in between takes less.
const BEGIN: &str =
    "begin isolation level read committed; set local idle_in_transaction_session_timeout = '60s'";

const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// It has its own session. If dropped, it is rolled back.
pub(crate) struct Transaction {
    client: Client,
    address: Address,
    schema: String,
    has_ended: bool,
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let (token, address) = (self.client.cancel_token(), self.address.clone());
        // A statement that waits for a lock does not notice that its client has gone.
        tokio::spawn(async move {
            let _ = timeout(CANCEL_TIMEOUT, address.cancel(&token)).await;
        });
    }
}

impl Transaction {
    pub(super) async fn begin(address: &Address, schema: &str) -> Result<Self, Error> {
        let client = address.connect().await?;
        let transaction = Self {
            client,
            address: address.clone(),
            schema: schema.to_owned(),
            has_ended: false,
        };
        transaction.run(BEGIN).await?;
        Ok(transaction)
    }

    /// The state of a flag; until the transaction ends nobody else changes it from Slack in that environment.
    pub(crate) async fn hold(&self, name: &str, environment: &str) -> Result<Value, Error> {
        let statement = "select lockstep_api.chatops_hold_feature($1, $2, $3)";
        self.ask(statement, &[&name, &environment, &self.schema])
            .await
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

    /// Whether it still holds its locks.
    pub(crate) async fn check(&self) -> Result<(), Error> {
        self.run("select").await
    }

    /// After an error it is unknown whether it was committed, unless the database says so.
    pub(crate) async fn commit(mut self) -> Result<(), Error> {
        self.run("commit").await?;
        self.has_ended = true;
        Ok(())
    }

    async fn run(&self, statement: &'static str) -> Result<(), Error> {
        let running = self.client.batch_execute(statement);
        let ran = timeout(ANSWER_TIMEOUT, running).await;
        Ok(ran.map_err(|_| Error::Silent)??)
    }

    async fn ask(&self, statement: &'static str, arguments: Arguments<'_>) -> Result<Value, Error> {
        let rows = ask_unprepared(&self.client, statement, arguments, ANSWER_TIMEOUT).await?;
        value(&rows)
    }
}
