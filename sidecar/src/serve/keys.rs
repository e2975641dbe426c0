//! Checks that the token keys decrypt the stored tokens. A process with other keys would claim what it cannot send, and fail it
//! permanently: so nothing is claimed before this is known.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::error;

use crate::database::SlackDatabase;
use crate::error::{Error, complain};
use crate::token::TokenKeys;

/// This many workspaces are enough.
const SOME: i32 = 100;

const PAUSE: Duration = Duration::from_secs(1);
/// Somebody may be fixing it.
const LONG_PAUSE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    Unknown,
    Fits,
    OpensNothing,
}

impl Fit {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Fits => "fits",
            Self::OpensNothing => "decrypts no token",
        }
    }
}

pub(super) struct KeyCheck {
    pub(super) database: SlackDatabase,
    pub(super) keys: Arc<TokenKeys>,
    pub(super) fit: watch::Sender<Fit>,
}

impl KeyCheck {
    /// Checks until they fit.
    pub(super) async fn wait(self) {
        loop {
            match self.look().await {
                Ok(true) => {
                    self.fit.send_replace(Fit::Fits);
                    return;
                }
                Ok(false) => {
                    if self.fit.send_replace(Fit::OpensNothing) != Fit::OpensNothing {
                        error!(
                            "the token keys decrypt none of the tokens in the database, so nothing is sent; see lockstep-sidecar check"
                        );
                    }
                    sleep(LONG_PAUSE).await;
                }
                Err(error) => {
                    complain!(error, "the token keys could not be checked yet");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// Some of the tokens may be older; without tokens there is nothing to decrypt.
    async fn look(&self) -> Result<bool, Error> {
        let tokens = self.database.tokens_after("", SOME).await?;
        let all = tokens
            .iter()
            .flat_map(|it| it.token.iter().chain(&it.refresh));
        let mut sealed = all.filter(|token| token.is_sealed()).peekable();
        Ok(sealed.peek().is_none() || sealed.any(|token| self.keys.open(token).is_ok()))
    }
}
