//! Ctrl-C, and SIGTERM, which means the same here.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What tells to stop, and at the second time to stop at once.
pub(crate) enum Interrupts {
    Signals {
        interrupt: Signal,
        terminate: Signal,
    },
    /// By a part of the program that listens to signals itself: what is left to be heard.
    Told(Vec<CancellationToken>),
}

impl Interrupts {
    /// Neither signal ends the process any more.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self::Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Those that somebody else gives.
    pub(crate) fn told(stop: CancellationToken, at_once: CancellationToken) -> Self {
        Self::Told(vec![at_once, stop])
    }

    /// Answers at the next of them, also if it came a while ago.
    pub(crate) async fn next(&mut self) {
        match self {
            Self::Signals {
                interrupt,
                terminate,
            } => tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            },
            Self::Told(left) => {
                match left.last() {
                    Some(told) => told.cancelled().await,
                    None => std::future::pending().await,
                }
                left.pop();
            }
        }
    }
}
