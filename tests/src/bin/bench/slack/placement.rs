//! Assignment of cores.

use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Context, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// One of the cores that this process may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core(usize);

impl Core {
    /// Pins the calling thread to it.
    pub(super) fn hold_this_thread(self) -> Result<()> {
        let mut set = CpuSet::new();
        set.set(self.0)?;
        sched_setaffinity(Pid::from_raw(0), &set).context("cannot keep a thread on its core")
    }
}

/// Where contender and generator run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// One core for the contender, even if it could use more, and another for the generator.
    Apart { server: Core, generator: Core },
    /// Wherever the kernel puts them.
    Free,
}

impl Placement {
    /// Both, or only the latter on a machine with a single core.
    pub(super) fn all() -> Result<Vec<Self>> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        let mut cores = (0..CpuSet::count()).filter(|core| set.is_set(*core).unwrap_or(false));
        let apart = cores
            .next()
            .zip(cores.next())
            .map(|(one, other)| Self::Apart {
                server: Core(one),
                generator: Core(other),
            });
        Ok(apart.into_iter().chain([Self::Free]).collect())
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apart { .. } => "one_core",
            Self::Free => "unpinned",
        }
    }

    pub(super) fn generator(self) -> Option<Core> {
        match self {
            Self::Apart { generator, .. } => Some(generator),
            Self::Free => None,
        }
    }

    /// A contender's program, pinned accordingly.
    pub(super) fn command(self, program: impl AsRef<OsStr>) -> Command {
        match self {
            Self::Apart { server, .. } => {
                let mut command = Command::new("taskset");
                command
                    .args(["--cpu-list", &server.0.to_string()])
                    .arg(program);
                command
            }
            Self::Free => Command::new(program),
        }
    }
}
