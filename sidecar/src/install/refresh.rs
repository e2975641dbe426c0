//! Refreshes expiring tokens. The database assigns each to one process only: Slack revokes a refresh token when it is used, so
//! using it twice would cut the workspace off.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::database::{Refresh, SlackDatabase};
use crate::error::{Error, complain};
use crate::http::{Counter, count};
use crate::retry::until_it_works;
use crate::slack::{CallError, Credentials, SlackClient};
use crate::token::{CipherError, Sealed, TokenKeys};

/// Refreshes tokens.
pub(crate) struct Keeper {
    pub(crate) for_jobs: SlackDatabase,
    pub(crate) slack: SlackClient,
    pub(crate) credentials: Credentials,
    pub(crate) token_keys: Arc<TokenKeys>,
}

/// Tokens last twelve hours.
const BEFORE: Duration = Duration::from_secs(2 * 3600);

/// Nobody else refreshes the token in the meantime. This is longer than the database is likely to be away after Slack has
/// responded, because only this process has the new token until it is stored; and it still ends before the old one expires, in
/// case this process dies.
const LEASE: Duration = Duration::from_secs(3600);

const PERIOD: Duration = Duration::from_secs(30);
const SWEEP_PERIOD: Duration = Duration::from_secs(600);
/// If this many rows were removed, there may be more.
const MOST_SWEPT: i64 = 10_000;

const LONGEST_LIFE: Duration = Duration::from_secs(365 * 86_400);

/// After a temporary error, and after one that will not go away by itself.
const SOON: Duration = Duration::from_secs(60);
const LATER: Duration = Duration::from_secs(3600);

/// Between two transactions that remove old data.
const PAUSE: Duration = Duration::from_millis(250);

impl Keeper {
    /// Refreshes tokens and removes old data until told to stop.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let mut swept: Option<Instant> = None;
        loop {
            while !stop.is_cancelled() {
                match refresh_one(&self, &stop).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        complain!(error, "cannot look for tokens to refresh");
                        break;
                    }
                }
            }
            if swept.is_none_or(|at| at.elapsed() >= SWEEP_PERIOD) {
                match self.for_jobs.sweep().await {
                    // There is more than one transaction should remove.
                    Ok(removed) if removed >= MOST_SWEPT && !stop.is_cancelled() => {
                        sleep(PAUSE).await;
                        continue;
                    }
                    Ok(_) => swept = Some(Instant::now()),
                    Err(error) => complain!(error, "cannot remove old events"),
                }
            }
            tokio::select! {
                () = sleep(PERIOD) => {}
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Slack's response with a new token.
#[derive(Deserialize)]
struct Refreshed {
    access_token: SecretString,
    refresh_token: SecretString,
    expires_in: u64,
}

/// A token's lifetime according to Slack, within reason: a time that no clock reaches is invalid.
pub(super) fn life(seconds: u64) -> Duration {
    Duration::from_secs(seconds).min(LONGEST_LIFE)
}

/// False if there was none to refresh, or Slack asks us to wait.
async fn refresh_one(keeper: &Keeper, stop: &CancellationToken) -> Result<bool, Error> {
    let Some(claimed) = keeper.for_jobs.claim_refresh(BEFORE, LEASE).await? else {
        return Ok(false);
    };
    match ask(keeper, &claimed).await {
        Ok((token, refresh, expires_at)) => {
            // Slack has revoked the old one: if the new one is not stored now, it is lost.
            store(keeper, &claimed, &token, &refresh, expires_at).await;
        }
        Err(Refusal {
            reason,
            is_final,
            wait,
        }) => {
            count(
                Counter::REFRESHES,
                if is_final { "refused" } else { "failed" },
            );
            warn!(team = claimed.team, reason, "a token was not refreshed");
            let pause = if is_final { LATER } else { SOON };
            keeper
                .for_jobs
                .give_back_refresh(&claimed, &reason, wait.unwrap_or(pause).max(SOON))
                .await?;
            if let Some(wait) = wait {
                // The whole app must wait, whatever the workspace.
                tokio::select! {
                    () = sleep(wait.min(PERIOD)) => {}
                    () = stop.cancelled() => {}
                }
                return Ok(false);
            }
        }
    }
    Ok(true)
}

struct Refusal {
    reason: String,
    is_final: bool,
    /// How long Slack asks us to pause.
    wait: Option<Duration>,
}

impl From<CallError> for Refusal {
    fn from(error: CallError) -> Self {
        Self {
            reason: error.to_string(),
            is_final: !error.is_transient(),
            wait: match error {
                CallError::RateLimited(wait) => Some(wait),
                _ => None,
            },
        }
    }
}

async fn ask(keeper: &Keeper, claimed: &Refresh) -> Result<(Sealed, Sealed, SystemTime), Refusal> {
    let of_cipher = |error: CipherError| Refusal {
        reason: error.to_string(),
        is_final: true,
        wait: None,
    };
    let keys = &keeper.token_keys;
    let (refresh, _) = keys.open(&claimed.token).map_err(of_cipher)?;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", refresh.expose_secret()),
    ];
    let asked = SystemTime::now();
    let answer = keeper.slack.access(&keeper.credentials, &form).await?;
    let refreshed = Refreshed::deserialize(answer).map_err(|_| CallError::Garbled)?;
    Ok((
        keys.seal(&refreshed.access_token).map_err(of_cipher)?,
        keys.seal(&refreshed.refresh_token).map_err(of_cipher)?,
        asked + life(refreshed.expires_in),
    ))
}

/// Stores it, however long the database is away; a graceful stop waits for that.
async fn store(
    keeper: &Keeper,
    claimed: &Refresh,
    token: &Sealed,
    refresh: &Sealed,
    expires_at: SystemTime,
) {
    let is_current = until_it_works("a refreshed token is not stored yet", || {
        keeper
            .for_jobs
            .store_refreshed(claimed, token, refresh, expires_at)
    })
    .await;
    match is_current {
        true => {
            count(Counter::REFRESHES, "done");
            info!(team = claimed.team, "refreshed a token");
        }
        false => {
            count(Counter::REFRESHES, "overtaken");
            warn!(
                team = claimed.team,
                "a refreshed token arrived too late: the app was uninstalled or installed again"
            );
        }
    }
}
