//! Ctrl-C, and SIGTERM, which means the same here.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// What tells to stop, and at the second time to stop at once.
pub(crate) enum Interrupts {
    Signals {
        interrupt: Signal,
        terminate: Signal,
    },
    /// From a part of the program that listens to signals itself.
    Relayed(mpsc::UnboundedReceiver<()>),
}

impl Interrupts {
    /// Neither signal ends the process any more.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self::Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Those that somebody else sends.
    pub(crate) fn relayed() -> (mpsc::UnboundedSender<()>, Self) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (sender, Self::Relayed(receiver))
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
            // Whoever could send one is gone: that is one as well.
            Self::Relayed(receiver) => {
                receiver.recv().await;
            }
        }
    }
}
