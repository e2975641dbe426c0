//! Ctrl-C and SIGTERM, which mean the same here, and how what is under way ends then.

use std::{fs, io};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What tells to stop, and at the second time to stop at once.
pub(crate) enum Interrupts {
    Signals {
        interrupt: Signal,
        terminate: Signal,
        hangup: Option<Signal>,
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
            hangup: None,
        })
    }

    /// Neither does a hangup: whose terminal is closed stops in good order, unless that is to be ignored, as nohup has it.
    pub(crate) fn listen_to_hangup() -> io::Result<Self> {
        let mut signals = Self::listen()?;
        if let Self::Signals { hangup, .. } = &mut signals
            && !is_hangup_ignored()
        {
            *hangup = Some(signal(SignalKind::hangup())?);
        }
        Ok(signals)
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

/// By the kernel's word: the first bit is that of SIGHUP.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    ignored.is_some_and(|bits| bits & 1 != 0)
}

/// What goes on after its request is over, and ends when the program stops: in good order while there is time, and then at once.
#[derive(Clone, Default)]
pub(crate) struct Finishing {
    pub(crate) tasks: TaskTracker,
    /// Nobody is to wait for what may take long.
    pub(crate) stop: CancellationToken,
    /// The time is over: what cannot be left to others within a moment is lost.
    pub(crate) over: CancellationToken,
}
