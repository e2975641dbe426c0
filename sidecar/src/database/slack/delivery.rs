//! Messages to be delivered to channels.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_postgres::Row;

use super::SlackDatabase;
use super::token::sealed;
use crate::error::Error;
use crate::slack::Tenant;
use crate::token::Sealed;

/// A message that only this process may send now.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) id: i64,
    pub(crate) lease: i64,
    pub(crate) team: String,
    /// As configured: a name, or a Slack id.
    pub(crate) channel: String,
    /// None if it cannot be parsed.
    pub(crate) event: Option<Value>,
    /// How often it failed or had an unknown outcome since it was last queued.
    pub(crate) failures: i32,
    pub(crate) updates: Updates,
    /// The message about the same pipeline or merge request.
    pub(crate) earlier: Option<Sent>,
    pub(crate) token: Option<Sealed>,
    pub(crate) mentions: Vec<Mention>,
}

/// A user or user group that a message mentions, by Slack's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mention {
    User(String),
    UserGroup(String),
}

impl Mention {
    /// Nothing else than an id of Slack's becomes a mention.
    fn of(id: &str) -> Option<Self> {
        let is_plain = |letter: u8| letter.is_ascii_uppercase() || letter.is_ascii_digit();
        if !id.bytes().all(is_plain) {
            return None;
        }
        match id.as_bytes() {
            [b'U' | b'W', _, ..] => Some(Self::User(id.to_owned())),
            [b'S', _, ..] => Some(Self::UserGroup(id.to_owned())),
            _ => None,
        }
    }
}

/// A message, with Slack's ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) channel: String,
    pub(crate) ts: String,
    /// When the newest event that it shows happened, in seconds since 1970.
    pub(crate) moment: Option<i64>,
}

/// How news about a pipeline or merge request is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Updates {
    Separate,
    Update,
    Thread,
}

/// The outcome of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Delivered {
        /// Slack's id of the channel.
        channel: Option<String>,
        /// The message's id, if later ones update it or reply to it.
        ts: Option<String>,
        /// When the event happened.
        moment: Option<i64>,
    },
    /// The message to update already shows something newer.
    Superseded,
    /// It certainly failed, and will be retried.
    Retry {
        error: String,
        wait: Duration,
    },
    /// The outcome is unknown, and it will be retried.
    Uncertain {
        error: String,
        wait: Duration,
    },
    RateLimited {
        wait: Duration,
    },
    Failed {
        error: String,
        needed: Option<String>,
    },
    /// The message to update is gone.
    LostMessage,
}

impl Outcome {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "delivered",
            Self::Retry { .. } => "retry",
            Self::Uncertain { .. } => "uncertain",
            Self::RateLimited { .. } => "rate_limited",
            Self::Failed { .. } => "failed",
            Self::Superseded => "superseded",
            Self::LostMessage => "lost_message",
        }
    }
}

/// The report about a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) delivery: i64,
    pub(crate) lease: i64,
    pub(crate) outcome: Outcome,
    /// When the last request began, if there was one.
    pub(crate) begun: Option<Instant>,
}

/// A request takes a while to reach Slack, and the next one may be faster: so it counts as started this much later.
const ON_THE_WAY: Duration = Duration::from_millis(20);

impl Finished {
    fn json(&self) -> Value {
        let seconds = Duration::as_secs_f64;
        // PostgreSQL cannot store this character, whoever sent it.
        let text = |text: &String| text.replace('\0', "");
        let optional = |given: &Option<String>| given.as_ref().map(text);
        let mut result = json!({
            "delivery": self.delivery,
            "lease": self.lease,
            "outcome": self.outcome.name(),
            "ago": self.begun.map(|begun| seconds(&begun.elapsed().saturating_sub(ON_THE_WAY))),
        });
        match &self.outcome {
            Outcome::Delivered {
                channel,
                ts,
                moment,
            } => {
                result["channel"] = json!(optional(channel));
                result["ts"] = json!(optional(ts));
                result["moment"] = json!(moment);
            }
            Outcome::Retry { error, wait } | Outcome::Uncertain { error, wait } => {
                result["error"] = json!(text(error));
                result["wait"] = json!(seconds(wait));
            }
            Outcome::RateLimited { wait } => result["wait"] = json!(seconds(wait)),
            Outcome::Failed { error, needed } => {
                result["error"] = json!(text(error));
                result["needed"] = json!(optional(needed));
            }
            Outcome::LostMessage | Outcome::Superseded => {}
        }
        result
    }
}

/// A problem with an integration's channel.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    pub(crate) channel: String,
    pub(crate) error: String,
    pub(crate) needed: Option<String>,
    pub(crate) failures: i64,
}

/// The state of a delivery.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) delivery: i64,
    /// `waiting`, `delivered` or `failed`.
    pub(crate) status: String,
    pub(crate) error: Option<String>,
    pub(crate) needed: Option<String>,
}

impl SlackDatabase {
    /// The first messages of channels that may get one now.
    pub(crate) async fn claim_deliveries(
        &self,
        most: usize,
        lease: Duration,
        per_minute: i32,
    ) -> Result<Vec<Delivery>, Error> {
        let statement = "
            select delivery, lease, team_id, channel, event::text, failures, updates, ts, slack_channel, moment, token is not null,
                   coalesce(token, ''), coalesce(token_iv, ''), coalesce(mentions, '')
              from lockstep_api.claim_deliveries($1, pg_catalog.make_interval(secs => $2), $3, $4)";
        let most = i32::try_from(most).unwrap_or(i32::MAX);
        // Not retried: jobs claimed by a first call whose response was lost would be blocked for the time of a lease.
        let rows = self
            .pool
            .ask_once(
                statement,
                &[&most, &lease.as_secs_f64(), &per_minute, &self.schema],
            )
            .await?;
        let delivery = |row: &Row| {
            let ts: Option<String> = row.try_get(7)?;
            let channel: Option<String> = row.try_get(8)?;
            let moment = row.try_get(9)?;
            let mentions: &str = row.try_get(13)?;
            Ok(Delivery {
                id: row.try_get(0)?,
                lease: row.try_get(1)?,
                team: row.try_get(2)?,
                channel: row.try_get(3)?,
                // An invalid event must not keep others from being delivered.
                event: serde_json::from_str(row.try_get(4)?).ok(),
                failures: row.try_get(5)?,
                updates: match row.try_get(6)? {
                    "update" => Updates::Update,
                    "thread" => Updates::Thread,
                    _ => Updates::Separate,
                },
                earlier: channel.zip(ts).map(|(channel, ts)| Sent {
                    channel,
                    ts,
                    moment,
                }),
                token: match row.try_get(10)? {
                    true => Some(sealed(row, 11)?),
                    false => None,
                },
                mentions: mentions.split(' ').filter_map(Mention::of).collect(),
            })
        };
        rows.iter().map(delivery).collect()
    }

    /// How long until a channel may get its next message; None if nothing waits.
    pub(crate) async fn delivery_wait(&self, per_minute: i32) -> Result<Option<Duration>, Error> {
        let statement = "select lockstep_api.delivery_wait($1, $2)";
        let seconds: Option<f64> = self.value(statement, &[&per_minute, &self.schema]).await?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or_default()))
    }

    /// How many of them counted: for the others somebody else holds the lease by now.
    pub(crate) async fn finish_deliveries(&self, results: &[Finished]) -> Result<i32, Error> {
        let statement = "select lockstep_api.finish_deliveries($1, $2)";
        let results: Value = results.iter().map(Finished::json).collect();
        self.value(statement, &[&results, &self.schema]).await
    }

    /// The problems with an integration's channels.
    pub(crate) async fn channel_troubles(
        &self,
        tenant: Tenant<'_>,
        integration: i64,
    ) -> Result<Vec<Trouble>, Error> {
        let statement = "
            select channel, error, needed, failures from lockstep.slack_channel_troubles($1, $2, $3, $4)";
        let rows = self
            .ask(
                statement,
                &[&tenant.team, &tenant.enterprise, &integration, &self.schema],
            )
            .await?;
        let trouble = |row: &Row| {
            Ok(Trouble {
                channel: row.try_get(0)?,
                error: row.try_get(1)?,
                needed: row.try_get(2)?,
                failures: row.try_get(3)?,
            })
        };
        rows.iter().map(trouble).collect()
    }

    /// Sends a test message to each channel of an integration; returns number and channel of each, without a number beyond the
    /// first ten.
    pub(crate) async fn test_integration(
        &self,
        tenant: Tenant<'_>,
        integration: i64,
        user: &str,
        is_manager: bool,
    ) -> Result<Vec<(Option<i64>, String)>, Error> {
        let statement = "
            select delivery, channel from lockstep_api.test_slack_workspace_integration($1, $2, $3, $4, $5, $6)";
        // Not retried, or each channel might get two.
        let rows = self
            .pool
            .ask_once(
                statement,
                &[
                    &tenant.team,
                    &tenant.enterprise,
                    &integration,
                    &user,
                    &is_manager,
                    &self.schema,
                ],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect()
    }

    pub(crate) async fn delivery_standings(
        &self,
        deliveries: &[i64],
    ) -> Result<Vec<Standing>, Error> {
        let statement = "select delivery, status, error, needed from lockstep.delivery_results($1)";
        let rows = self.ask(statement, &[&deliveries]).await?;
        let standing = |row: &Row| {
            Ok(Standing {
                delivery: row.try_get(0)?,
                status: row.try_get(1)?,
                error: row.try_get(2)?,
                needed: row.try_get(3)?,
            })
        };
        rows.iter().map(standing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Mention;

    #[test]
    fn only_ids_are_mentions() {
        assert_eq!(
            Mention::of("U0ADA"),
            Some(Mention::User("U0ADA".to_owned()))
        );
        assert_eq!(Mention::of("W1"), Some(Mention::User("W1".to_owned())));
        assert_eq!(
            Mention::of("S0B"),
            Some(Mention::UserGroup("S0B".to_owned()))
        );
        for id in [
            "",
            "U",
            "S",
            "C0GENERAL",
            "!channel",
            "u0ada",
            "U0>",
            "U0|x",
            "U0 ADA",
        ] {
            assert_eq!(Mention::of(id), None, "{id}");
        }
    }
}
