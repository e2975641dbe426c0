//! Checks that the token keys decrypt the stored tokens. A process with other keys would claim what it cannot send: so nothing is
//! claimed before this is known, nor while it is not so. Both change: the first workspace installs the app, `rekey` runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::database::SlackDatabase;
use crate::error::Error;
use crate::token::TokenKeys;

/// This many workspaces are enough.
const SOME: i32 = 100;

/// Between two looks, however many messages meet a token that cannot be decrypted.
const PAUSE: Duration = Duration::from_secs(1);
/// Somebody may be fixing it, or installing the app for the first time.
const LONG_PAUSE: Duration = Duration::from_secs(5);
/// While they fit.
const PERIOD: Duration = Duration::from_secs(60);

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
    /// A message met a token that cannot be decrypted.
    pub(super) unreadable: Arc<Notify>,
}

impl KeyCheck {
    /// Never ends.
    pub(super) async fn keep_looking(self) {
        let mut told: Option<Instant> = None;
        loop {
            let pause = match self.look().await {
                Ok(Some(true)) => {
                    self.note(Fit::Fits);
                    PERIOD
                }
                // Without tokens there is nothing to decrypt.
                Ok(None) => {
                    self.note(Fit::Fits);
                    LONG_PAUSE
                }
                Ok(Some(false)) => {
                    self.note(Fit::OpensNothing);
                    LONG_PAUSE
                }
                Err(error) if error.is_outage() => Duration::ZERO,
                // Until somebody attaches the tables, perhaps.
                Err(error) => {
                    if told.is_none_or(|told| told.elapsed() >= PERIOD) {
                        warn!(error = %error.report(), "the token keys cannot be checked, so nothing is sent; logged once a minute");
                        told = Some(Instant::now());
                    }
                    LONG_PAUSE
                }
            };
            sleep(PAUSE).await;
            tokio::select! {
                () = sleep(pause) => {}
                () = self.unreadable.notified() => {}
            }
        }
    }

    fn note(&self, fit: Fit) {
        match (self.fit.send_replace(fit), fit) {
            (Fit::Unknown | Fit::Fits, Fit::OpensNothing) => error!(
                "the token keys decrypt none of the tokens in the database, so nothing is sent; see lockstep-sidecar check"
            ),
            (Fit::OpensNothing, Fit::Fits) => info!("the token keys fit"),
            _ => {}
        }
    }

    /// Whether they decrypt some token, for others may be older; None if there is no token.
    async fn look(&self) -> Result<Option<bool>, Error> {
        let tokens = self.database.tokens_after("", SOME).await?;
        let all = tokens
            .iter()
            .flat_map(|it| it.token.iter().chain(&it.refresh));
        let mut sealed = all.filter(|token| token.is_sealed()).peekable();
        let is_any = sealed.peek().is_some();
        Ok(is_any.then(|| sealed.any(|token| self.keys.open(token).is_ok())))
    }
}

/// Waits until they fit; false if the program stops first.
pub(super) async fn fits(fit: &mut watch::Receiver<Fit>, stop: &CancellationToken) -> bool {
    let fits = async { fit.wait_for(|fit| *fit == Fit::Fits).await.is_ok() };
    !stop.is_cancelled() && stop.run_until_cancelled(fits).await == Some(true)
}

async fn fits_no_longer(fit: &mut watch::Receiver<Fit>) {
    let changed = fit.wait_for(|fit| *fit != Fit::Fits).await.is_ok();
    // The check ends with the program.
    if !changed {
        std::future::pending().await
    }
}

/// Claims while they fit, until told to stop: stops gracefully when they no longer do, and starts again.
pub(super) async fn while_fits<F: Future<Output = ()>>(
    mut fit: watch::Receiver<Fit>,
    stop: CancellationToken,
    claiming: impl Fn(CancellationToken) -> F,
) {
    while fits(&mut fit, &stop).await {
        let until = stop.child_token();
        let claiming = claiming(until.clone());
        tokio::pin!(claiming);
        tokio::select! {
            () = &mut claiming => return,
            () = fits_no_longer(&mut fit) => until.cancel(),
        }
        claiming.await;
    }
}
