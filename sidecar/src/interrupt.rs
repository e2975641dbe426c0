//! Ctrl-C and SIGTERM, which mean the same here, and how work in progress ends.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The first signal stops gracefully, the second immediately.
pub(crate) enum Interrupts {
    Signals {
        interrupt: Signal,
        terminate: Signal,
        hangup: Option<Signal>,
    },
    /// From a part of the program that listens to signals itself: the remaining notifications.
    Told(Vec<CancellationToken>),
}

impl Interrupts {
    /// Neither signal ends the process any more.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self::Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: None,
        })
    }

    /// Nor does SIGHUP: when its terminal is closed, the program stops cleanly, unless the signal is ignored, as with nohup.
    pub(crate) fn listen_to_hangup() -> io::Result<Self> {
        let mut signals = Self::listen()?;
        if let Self::Signals { hangup, .. } = &mut signals
            && !is_hangup_ignored()
        {
            *hangup = Some(signal(SignalKind::hangup())?);
        }
        Ok(signals)
    }

    /// Interrupts given by another part of the program.
    pub(crate) fn told(stop: CancellationToken, at_once: CancellationToken) -> Self {
        Self::Told(vec![at_once, stop])
    }

    /// Returns at the next one, even if it arrived a while ago.
    pub(crate) async fn next(&mut self) {
        match self {
            Self::Signals {
                interrupt,
                terminate,
                hangup,
            } => {
                let hung_up = async {
                    match hangup {
                        Some(hangup) => hangup.recv().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hung_up => {}
                }
            }
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

/// As reported by the kernel: the first bit is SIGHUP's.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & 1 != 0)
}

/// Work that continues after its request, and ends when the program stops: cleanly while there is time, then immediately.
#[derive(Clone, Default)]
pub(crate) struct Finishing {
    pub(crate) tasks: TaskTracker,
    /// Nothing should start a long wait any more.
    pub(crate) stop: CancellationToken,
    /// Time is up: what cannot be left to others within a moment is lost.
    pub(crate) over: CancellationToken,
}
