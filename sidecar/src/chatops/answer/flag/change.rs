//! A change of a flag in one environment. Staging and production must agree: a flag is on in production only while it is on in
//! staging for someone. A change in one that depends on the other is made while the flag is held there. Every change holds the
//! flag in production first, then in staging, each until it is committed, so that of two concurrent changes the second sees the
//! first.

use serde_json::{Value, json};
use tracing::warn;

use crate::chatops::environment::{Environment, Name};
use crate::chatops::outcome::Outcome;
use crate::database::Transaction;
use crate::error::Error;
use crate::http::note_failure;
use crate::slack::code;

/// A change's effect on the flag, as far as environments must agree on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// It is on for more actors than before.
    On,
    /// It is off for everybody.
    Off,
    /// It is off for some actors.
    Less,
    /// Its default applies.
    Deleted,
}

impl Effect {
    /// The environment to change after the other.
    pub(super) fn last(self) -> Name {
        match self {
            Self::On => Name::Production,
            Self::Off | Self::Less | Self::Deleted => Name::Staging,
        }
    }

    /// Whether the change depends on the other environment: turning on in production, or off in staging. When a flag is deleted,
    /// its default may do either.
    fn depends(self, name: Name) -> bool {
        match name {
            Name::Production => matches!(self, Self::On | Self::Deleted),
            Name::Staging => self != Self::On,
            _ => false,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Deleted => "deleted",
            _ => "turned off",
        }
    }
}

#[derive(Clone)]
pub(super) struct Change {
    pub(super) flag: String,
    pub(super) effect: Effect,
    /// The requested state; None to delete the flag.
    pub(super) wish: Option<Value>,
    /// The percentage that production must still have: a large step was confirmed from there.
    pub(super) step_from: Option<f64>,
    pub(super) is_held_by_incidents: bool,
    /// Everything is done and rolled back.
    pub(super) is_dry_run: bool,
}

pub(super) const CONSISTENCY: &str = "`--ignore-feature-flag-consistency-check`";

/// Why a transaction failed.
struct Broken {
    error: Error,
    /// Then it is unknown whether it was committed.
    at_commit: bool,
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self {
            error,
            at_commit: false,
        }
    }
}

impl Change {
    /// Makes the change; if it depends on another environment, in agreement with that.
    pub(super) async fn make(
        &self,
        it: &Environment,
        other: Option<&Environment>,
        command: &Value,
    ) -> Outcome {
        match other.filter(|_| self.effect.depends(it.name)) {
            Some(other) => self.in_agreement(it, other, command).await,
            None => Outcome::of_change(it.name, self.alone(it, command).await),
        }
    }

    fn wish(&self, name: Name) -> Option<Value> {
        let mut wish = self.wish.clone()?;
        wish["is_held_by_incidents"] = json!(self.is_held(name));
        if let (Some(from), Name::Production) = (self.step_from, name) {
            wish["from"] = json!(from);
        }
        Some(wish)
    }

    fn is_held(&self, name: Name) -> bool {
        self.is_held_by_incidents && name == Name::Production
    }

    async fn alone(&self, it: &Environment, command: &Value) -> Result<Value, Error> {
        let database = &it.database;
        if self.is_dry_run {
            // If dropped, it is rolled back.
            let transaction = database.begin().await?;
            return self.within(&transaction, it.name, command).await;
        }
        match self.wish(it.name) {
            Some(wish) => database.set_feature(command, &self.flag, &wish).await,
            None => {
                let is_held = self.is_held(it.name);
                database.delete_feature(command, &self.flag, is_held).await
            }
        }
    }

    async fn within(
        &self,
        transaction: &Transaction,
        name: Name,
        command: &Value,
    ) -> Result<Value, Error> {
        match self.wish(name) {
            Some(wish) => transaction.set_feature(command, &self.flag, &wish).await,
            None => {
                let is_held = self.is_held(name);
                transaction
                    .delete_feature(command, &self.flag, is_held)
                    .await
            }
        }
    }

    async fn in_agreement(
        &self,
        it: &Environment,
        other: &Environment,
        command: &Value,
    ) -> Outcome {
        let mut is_doubtful = false;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let tried = match it.name {
                Name::Production => self.in_production(it, other, command).await,
                _ => self.in_staging(it, other, command).await,
            };
            let Broken { error, at_commit } = match tried {
                Ok(outcome) => return outcome,
                Err(broken) => broken,
            };
            let is_lost = error.is_lost_session();
            is_doubtful |= at_commit && (is_lost || matches!(error, Error::Silent));
            // What was committed is not done again; the first result is returned.
            if is_lost && attempts < 2 {
                continue;
            }
            return match (is_doubtful, Outcome::of_error(it.name, &error)) {
                (true, _) => Outcome::Unknown,
                // Without a commit it is rolled back.
                (false, Outcome::Unknown) => Outcome::Unreachable,
                (false, outcome) => outcome,
            };
        }
    }

    async fn end(&self, transaction: Transaction) -> Result<(), Broken> {
        if self.is_dry_run {
            return Ok(());
        }
        transaction.commit().await.map_err(|error| Broken {
            error,
            at_commit: true,
        })
    }

    async fn in_production(
        &self,
        production: &Environment,
        staging: &Environment,
        command: &Value,
    ) -> Result<Outcome, Broken> {
        let here = production.database.begin().await?;
        here.hold(&self.flag, production.name.text()).await?;
        let answer = self.within(&here, production.name, command).await?;
        let result = &answer["result"];
        let is_turned_on =
            is_on(&result["after"]) && (self.effect == Effect::On || !is_on(&result["before"]));
        let mut there = None;
        if is_turned_on && answer["was_done"] != true {
            let held = match staging.database.begin().await {
                Ok(transaction) => {
                    let held = transaction.hold(&self.flag, staging.name.text()).await;
                    there = Some(transaction);
                    held
                }
                Err(error) => Err(error),
            };
            match held {
                Ok(flag) if is_on(&flag) => {}
                Ok(_) => return Ok(Outcome::Refused(off_in_staging(&self.flag))),
                Err(error) => return Ok(unseen(&self.flag, staging.name, &error)),
            }
        }
        self.end(here).await?;
        drop(there);
        Ok(Outcome::of_change(production.name, Ok(answer)))
    }

    async fn in_staging(
        &self,
        staging: &Environment,
        production: &Environment,
        command: &Value,
    ) -> Result<Outcome, Broken> {
        let held = match production.database.begin().await {
            Ok(transaction) => transaction
                .hold(&self.flag, production.name.text())
                .await
                .map(|flag| (transaction, flag)),
            Err(error) => Err(error),
        };
        let here = staging.database.begin().await?;
        let answer = self.within(&here, staging.name, command).await?;
        let result = &answer["result"];
        let is_turned_off = is_on(&result["before"]) && !is_on(&result["after"]);
        if is_turned_off && answer["was_done"] != true {
            let still = match &held {
                Ok((_, flag)) if is_on(flag) => {
                    return Ok(Outcome::Refused(on_in_production(&self.flag, self.effect)));
                }
                // Whoever turns it on there in the meantime waits for this change.
                Ok((transaction, _)) => transaction.check().await,
                Err(error) => return Ok(unseen(&self.flag, production.name, error)),
            };
            if let Err(error) = still {
                return Ok(unseen(&self.flag, production.name, &error));
            }
        }
        self.end(here).await?;
        Ok(Outcome::of_change(staging.name, Ok(answer)))
    }
}

/// Whether a flag is on for any actor.
pub(super) fn is_on(flag: &Value) -> bool {
    flag["is_on_for_anybody"].as_bool().unwrap_or_default()
}

pub(super) fn off_in_staging(flag: &str) -> String {
    format!(
        "{} is off in staging, so it is not turned on in production. Turn it on in staging first, or pass {CONSISTENCY}",
        code(flag)
    )
}

pub(super) fn on_in_production(flag: &str, effect: Effect) -> String {
    let done = effect.words();
    format!(
        "{} is on in production, so it is not {done} in staging. Turn it off in production first, or pass {CONSISTENCY}",
        code(flag)
    )
}

fn unseen(flag: &str, other: Name, error: &Error) -> Outcome {
    warn!(
        environment = other.text(),
        error = %error.report(),
        "another environment cannot be read"
    );
    note_failure();
    Outcome::Refused(not_seen(flag, other))
}

pub(super) fn not_seen(flag: &str, other: Name) -> String {
    format!(
        "whether {} is on in {} cannot be read at the moment. Try again, or pass {CONSISTENCY}",
        code(flag),
        other.text()
    )
}
